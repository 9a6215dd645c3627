"""The model file a user names on the command line."""

from pathlib import Path

from koel_tui.files import expanded
from koel_tui.models import check_gguf, choose_model
from koel_tui.models.discovery import FoundModel, find_models


def checked_model(named: Path) -> Path:
    """Return the file of --model, checked.

    Raises `ModelFileError`, `NoModelError`; `SettingsError` only where a name has to be looked up:
    reading the settings takes longer than the first paint.
    """
    path = expanded(named)
    if path.exists():
        check_gguf(path)
        return path
    return choose_model(named, model_folders())


def model_folders() -> tuple[Path, ...]:
    """Return the folders that the settings add. Raises `SettingsError`."""
    from koel_tui.settings import load_settings

    return load_settings().model_folders


def all_models() -> list[FoundModel]:
    """Return the models on this computer and in the folders of the settings."""
    return find_models(model_folders())
