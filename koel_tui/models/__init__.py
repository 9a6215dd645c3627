"""Which GGUF file to run: the one named, or the bundled starter."""

from koel_tui.models.choose import NoModelError, choose_model
from koel_tui.models.gguf import ModelFileError, check_gguf

__all__ = ["ModelFileError", "NoModelError", "check_gguf", "choose_model"]
