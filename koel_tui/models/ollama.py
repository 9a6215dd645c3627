"""The model store of Ollama: manifests by name, their layers as blobs by hash.

A model of Ollama is more than its weights. Its template, adapter, projector, system prompt and
parameters are separate layers, which koel-chat does not use. Ollama's engine also reads weights
that llama.cpp cannot read.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from koel_tui.llama_log_parsing import is_unknown_model
from koel_tui.models.directory_walk import walk_files
from koel_tui.models.file_kinds import is_ollama_blob, why_no_model
from koel_tui.models.gguf_header import (
    MAGIC,
    DamagedHeaderError,
    GgufHeader,
    TruncatedHeaderError,
    read_properties,
)
from koel_tui.system.regular_files import open_regular

_MAX_MANIFEST_BYTES = 1024 * 1024
_KIND = "application/vnd.ollama.image."
_WEIGHTS, _ADAPTER = "model", "adapter"
_UNUSED = {
    "template": "template",
    _ADAPTER: "adapter",
    "projector": "projector",
    "system": "system prompt",
    "params": "parameters",
    "messages": "messages",
}
"""The kinds of layers that koel-chat does not use, with their names for the user."""
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_BLOB_PREFIX = "sha256-"
_DEFAULT_REGISTRY, _DEFAULT_OWNER = "registry.ollama.ai", "library"
_OWN_ARCHITECTURES = frozenset({"gptoss", "mllama", "qwen25vl", "deepseekocr", "glmocr"})
"""The architectures that only Ollama has."""
MADE_FOR_OLLAMA = "made for Ollama"


@dataclass(frozen=True, slots=True)
class OllamaModel:
    """A model of Ollama: its names, its weights, and its layers that koel-chat does not use.

    `names` are the tags with the same weights and adapters, for example `llama3.2:1b`.
    `only_for_ollama` is whether the properties in the file say that llama.cpp cannot read it.
    `reason` is why the file cannot write text, as a clause; '' if nothing is against it.
    """

    names: tuple[str, ...]
    path: Path
    unused: tuple[str, ...] = ()
    adapters: tuple[Path, ...] = ()
    only_for_ollama: bool = False
    reason: str = ""

    @property
    def mark(self) -> str:
        """The note in a few words, for the time before the model is chosen; '' if there is none."""
        if self.only_for_ollama:
            return MADE_FOR_OLLAMA
        return "without its adapter" if self.adapters else ""

    @property
    def note(self) -> str:
        """A note for the user about the model, as a clause; '' if there is none."""
        if self.only_for_ollama:
            return f"{MADE_FOR_OLLAMA}, probably unusable here"
        if not self.unused:
            return ""
        return f"Ollama's {_join(self.unused)} {_verb(self.unused)} not used"


def ollama_models(root: Path, weights: str = "") -> Iterator[OllamaModel]:
    """Yield the models in Ollama's directory whose weights are a GGUF file.

    With `weights`, the hash of a file, only the models with that file.
    """
    grouped: dict[tuple[str, tuple[str, ...]], list[tuple[str, _Layers]]] = {}
    for name, layers in _manifests(root):
        if layers.weights and weights in ("", layers.weights):
            grouped.setdefault((layers.weights, layers.adapters), []).append((name, layers))
    headers: dict[str, GgufHeader | None] = {}
    for (digest, adapters), tags in grouped.items():
        if digest not in headers:
            headers[digest] = _properties(_blob(root, digest))
        header = headers[digest]
        if header is not None:
            kinds = {kind for _, layers in tags for kind in layers.kinds}
            yield OllamaModel(
                tuple(name for name, _ in tags),
                _blob(root, digest),
                tuple(shown for kind, shown in _UNUSED.items() if kind in kinds),
                tuple(_blob(root, each) for each in adapters),
                is_only_for_ollama(header),
                why_no_model(header),
            )


def missing_weights(root: Path, name: str) -> Path | None:
    """Return the file that the model `name` of Ollama lacks, None if it lacks none."""
    for each, layers in _manifests(root):
        if name.lower() in (each.lower(), each.lower().removesuffix(":latest")) and layers.weights:
            blob = _blob(root, layers.weights)
            return None if blob.is_file() else blob
    return None


def models_of_blob(path: Path) -> tuple[OllamaModel, ...]:
    """Return the models of Ollama that have the file `path` as their weights."""
    if not is_ollama_blob(path):
        return ()
    models = ollama_models(path.parent.parent, path.name.removeprefix(_BLOB_PREFIX))
    return tuple(each for each in models if each.path == path)


def describe_unused_layers(path: Path) -> str:
    """Return a sentence about the layers of a model of Ollama that are not used, '' if all are.

    `describe_unused_adapters` names the adapters.
    """
    models = models_of_blob(path)
    kinds = {kind for model in models for kind in model.unused} - {_UNUSED[_ADAPTER]}
    if not kinds:
        return ""
    unused = [kind for kind in _UNUSED.values() if kind in kinds]
    return (
        f"Ollama's {_join(unused)} of this model {_verb(unused)} not used: the chat template in "
        "the file and the settings of the thread are."
    )


def describe_unused_adapters(path: Path) -> str:
    """Return sentences about the adapters that Ollama uses with a file, '' if there are none."""
    return " ".join(
        f"Ollama's adapter of {model.names[0]} is not used. To use it, set "
        f'"LoRA adapter" of the thread (f2) to {adapter}.'
        for model in models_of_blob(path)
        for adapter in model.adapters
    )


def explain_failure(path: Path, reason: str) -> str:
    """Return the reason of a failed load in words if the file was made for Ollama, else ''."""
    if not is_unknown_model(reason):
        return ""
    header = _properties(path)
    if not is_ollama_blob(path) and (header is None or not is_only_for_ollama(header)):
        return ""
    names = [name for model in models_of_blob(path) for name in model.names]
    named = f" as {names[0]}" if names else ""
    return f"it was {MADE_FOR_OLLAMA}{named}, and llama.cpp cannot read it ({reason})"


def is_only_for_ollama(header: GgufHeader) -> bool:
    """Return whether the properties of a file say that only Ollama reads it.

    Ollama puts vision and sound into the file of the model, llama.cpp into a projector.
    """
    architecture = header.architecture
    parts = tuple(f"{architecture}.{part}." for part in ("vision", "audio"))
    return architecture in _OWN_ARCHITECTURES or any(key.startswith(parts) for key in header.values)


@dataclass(frozen=True, slots=True)
class _Layers:
    """The layers of a manifest: hash of the weights or '', hashes of adapters, and all kinds."""

    weights: str
    adapters: tuple[str, ...]
    kinds: frozenset[str]


def _manifests(root: Path) -> Iterator[tuple[str, _Layers]]:
    """Yield the name of each model and its layers; unreadable manifests are left out."""
    manifests = root / "manifests"
    for manifest in walk_files(manifests):
        parts = manifest.relative_to(manifests).parts
        layers = _read_manifest(manifest) if len(parts) == 4 else None
        if layers is not None:
            host, owner, model, tag = parts
            # Ollama omits the default registry and the default owner.
            shown = [
                part
                for part, default in ((host, _DEFAULT_REGISTRY), (owner, _DEFAULT_OWNER))
                if part != default
            ]
            yield "/".join([*shown, f"{model}:{tag}"]), layers


def _read_manifest(manifest: Path) -> _Layers | None:
    """Return the layers of a manifest, None if it is unreadable."""
    try:
        with open_regular(manifest) as file:
            text = file.read(_MAX_MANIFEST_BYTES + 1)
        if len(text) > _MAX_MANIFEST_BYTES:
            return None
        layers: Any = json.loads(text)["layers"]
        found = [(_kind(layer), _digest(layer)) for layer in layers]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    weights = next((digest for kind, digest in found if kind == _WEIGHTS), "")
    adapters = tuple(digest for kind, digest in found if kind == _ADAPTER and digest)
    return _Layers(weights, adapters, frozenset(kind for kind, _ in found))


def _kind(layer: Mapping[str, Any]) -> str:
    return str(layer.get("mediaType")).removeprefix(_KIND)


def _digest(layer: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a layer, '' if it is not one; so its path stays in the directory."""
    found = _DIGEST.fullmatch(str(layer.get("digest")))
    return found[1] if found else ""


def _blob(root: Path, digest: str) -> Path:
    return root / "blobs" / f"{_BLOB_PREFIX}{digest}"


def _properties(path: Path) -> GgufHeader | None:
    """Return the properties of a GGUF file; None for another file, no values if damaged."""
    try:
        with open_regular(path) as file:
            return read_properties(file) if file.read(len(MAGIC)) == MAGIC else None
    except OSError:
        return None
    except (TruncatedHeaderError, DamagedHeaderError):
        return GgufHeader({}, 1, {}, 0)


def _verb(words: Sequence[str]) -> str:
    return "is" if len(words) == 1 and not words[0].endswith("s") else "are"


def _join(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
