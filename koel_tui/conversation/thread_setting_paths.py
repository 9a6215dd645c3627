"""Validation of the model and adapter files in thread settings."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from koel_tui.conversation.thread_settings_form import FieldError
from koel_tui.session.settings import ThreadSettings
from koel_tui.system.regular_files import expand_user


def resolve_paths(settings: ThreadSettings) -> ThreadSettings:
    """Return the settings with absolute file paths, valid from any working directory.

    Raises `FieldError` for an unusable model or adapter.
    """
    from koel_tui.models import check_gguf, choose_model
    from koel_tui.settings import load_settings

    model, lora = settings.model, settings.lora
    if model:
        name_or_path = Path(model)
        path = _resolve("model", lambda: choose_model(name_or_path, load_settings().model_folders))
        model = str(path) if expand_user(name_or_path).exists() else model  # otherwise a model name
    if lora:
        adapter = Path(lora)
        lora = str(_resolve("lora", lambda: _validate(expand_user(adapter), check_gguf)))
    return replace(settings, model=model, lora=lora)


def _validate(path: Path, check: Callable[[Path], None]) -> Path:
    check(path)
    return path


def _resolve(key: str, find: Callable[[], Path]) -> Path:
    from koel_tui.models import ModelFileError, NoModelError
    from koel_tui.settings import SettingsError

    try:
        return find().absolute()
    except (
        ModelFileError,
        NoModelError,
        SettingsError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise FieldError(key, str(error)) from None
