"""Resolution of the model that the user names on the command line."""

from pathlib import Path

from koel_tui.models import check_gguf, choose_model
from koel_tui.models.discovery import FoundModel, find_models
from koel_tui.models.split_files import first_part
from koel_tui.system.regular_files import exists, expand_user


def check_model(named: Path) -> Path:
    """Return the checked file of --model.

    Settings are loaded only to look up a name, because that takes longer than the first paint.
    Raises `ModelFileError`, `NoModelError`, and for a name `SettingsError`.
    """
    path = first_part(expand_user(named))
    if exists(path):
        check_gguf(path)
        return path
    return choose_model(named, model_folders())


def model_folders() -> tuple[Path, ...]:
    """Return the model folders in the settings. Raises `SettingsError`."""
    from koel_tui.settings import load_settings

    return load_settings().model_folders


def all_models() -> list[FoundModel]:
    """Return the models in the usual folders and in those of the settings."""
    return find_models(model_folders())
