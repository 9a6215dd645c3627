"""The model store of Ollama: manifests by name, weights as blobs by hash."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from koel_tui.models.directory_walk import walk_files
from koel_tui.system.regular_files import open_regular

_MAX_MANIFEST_BYTES = 1024 * 1024
_WEIGHTS = "application/vnd.ollama.image.model"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_DEFAULT_REGISTRY, _DEFAULT_OWNER = "registry.ollama.ai", "library"
_MAGIC = b"GGUF"


def ollama_models(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield name and file of each model in Ollama's directory whose weights are a GGUF file.

    Names are in Ollama's format: `llama3.2:1b`, `somebody/model:latest`.
    """
    manifests = root / "manifests"
    for manifest in walk_files(manifests):
        parts = manifest.relative_to(manifests).parts
        digest = _weights_digest(manifest) if len(parts) == 4 else None
        if digest is None:
            continue
        blob = root / "blobs" / f"sha256-{digest}"
        if _is_gguf(blob):
            host, owner, model, tag = parts
            # Ollama omits the default registry and the default owner.
            shown = [
                part
                for part, default in ((host, _DEFAULT_REGISTRY), (owner, _DEFAULT_OWNER))
                if part != default
            ]
            yield "/".join([*shown, f"{model}:{tag}"]), blob


def _weights_digest(manifest: Path) -> str | None:
    """Return the SHA-256 of a manifest's weights, None if it has none."""
    try:
        with open_regular(manifest) as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            return None
        layers: Any = json.loads(text)["layers"]
        digests = (layer["digest"] for layer in layers if layer.get("mediaType") == _WEIGHTS)
        # The pattern also keeps the blob's path within the directory.
        found = _DIGEST.fullmatch(next(digests))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    except StopIteration:  # the manifest names no weights
        return None
    return found[1] if found else None


def _is_gguf(path: Path) -> bool:
    try:
        with open_regular(path) as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False
