"""Which GGUF file to run: those on this computer, downloads, and whether one works."""

from koel_tui.models.choose import choose_model
from koel_tui.models.discovery import FoundModel, Source, find_models
from koel_tui.models.gguf import ModelFileError, check_gguf
from koel_tui.models.naming import NoModelError, named_model

__all__ = [
    "FoundModel",
    "ModelFileError",
    "NoModelError",
    "Source",
    "check_gguf",
    "choose_model",
    "find_models",
    "named_model",
]
