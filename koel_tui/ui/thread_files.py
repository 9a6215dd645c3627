"""The files that a thread wants to be answered with."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from koel_tui.files import expanded
from koel_tui.session.settings import ThreadSettings
from koel_tui.ui.thread_form import FieldError


def with_files(settings: ThreadSettings) -> ThreadSettings:
    """Return settings whose files are named in full, wherever the program is started next.

    Raises `FieldError` for a model or an adapter that cannot be used.
    """
    from koel_tui.models import check_gguf, choose_model
    from koel_tui.settings import load_settings

    model, lora = settings.model, settings.lora
    if model:
        named = Path(model)
        found = _usable("model", lambda: choose_model(named, load_settings().model_folders))
        model = str(found) if expanded(named).exists() else model  # else it is a name
    if lora:
        adapter = Path(lora)
        lora = str(_usable("lora", lambda: _checked(expanded(adapter), check_gguf)))
    return replace(settings, model=model, lora=lora)


def _checked(path: Path, check: Callable[[Path], None]) -> Path:
    check(path)
    return path


def _usable(key: str, find: Callable[[], Path]) -> Path:
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
