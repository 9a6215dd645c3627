"""The files that a thread wants to be answered with."""

from pathlib import Path

from koel_tui.session.settings import ThreadSettings
from koel_tui.ui.thread_form import FieldError


def look_for_files(settings: ThreadSettings) -> None:
    """Raise `FieldError` for a model or an adapter that cannot be used."""
    from koel_tui.models import ModelFileError, NoModelError, check_gguf, choose_model

    try:
        if settings.model:
            choose_model(Path(settings.model))
    except (ModelFileError, NoModelError) as error:
        raise FieldError("model", str(error)) from None
    try:
        if settings.lora:
            check_gguf(Path(settings.lora).expanduser())
    except ModelFileError as error:
        raise FieldError("lora", str(error)) from None
