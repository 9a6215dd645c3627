"""GGUF model files: discovery, download and verification."""

from koel_tui.models.choose import choose_model
from koel_tui.models.gguf import ModelFileError, check_gguf
from koel_tui.models.naming import NoModelError, named_model

__all__ = ["ModelFileError", "NoModelError", "check_gguf", "choose_model", "named_model"]
