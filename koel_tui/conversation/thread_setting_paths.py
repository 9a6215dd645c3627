"""Validation of the model and adapter files in thread settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from koel_tui.conversation.thread_settings_form import FieldError
from koel_tui.session.settings import ThreadSettings
from koel_tui.system.regular_files import exists, expand_user


def resolve_paths(settings: ThreadSettings) -> ThreadSettings:
    """Return the settings with absolute file paths, valid from any working directory.

    Raises `FieldError` for an unusable model or adapter.
    """
    from koel_tui.models import check_gguf, choose_model
    from koel_tui.settings import load_settings

    model, lora = settings.model, settings.lora
    if model:
        with _as_field_error("model"):
            path = choose_model(Path(model), load_settings().model_folders)
            if exists(expand_user(Path(model))):  # otherwise the name of a model
                model = str(path.absolute())
    if lora:
        with _as_field_error("lora"):
            path = expand_user(Path(lora))
            check_gguf(path)
            lora = str(path.absolute())
    return replace(settings, model=model, lora=lora)


@contextmanager
def _as_field_error(key: str) -> Iterator[None]:
    """Convert an error in the block to a `FieldError` of the field `key`."""
    from koel_tui.models import ModelFileError, NoModelError
    from koel_tui.settings import SettingsError

    try:
        yield
    except (
        ModelFileError,
        NoModelError,
        SettingsError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        raise FieldError(key, str(error)) from None
