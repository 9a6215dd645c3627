"""Helpers that write models into a store of Ollama, and make GGUF files with given metadata."""

import hashlib
import json
import struct
from pathlib import Path

KIND = "application/vnd.ollama.image."


def described_gguf(**values: str | int) -> bytes:
    """Return a valid GGUF file with one tensor and these metadata; `__` in a name is a dot."""
    entries = b""
    for key, value in values.items():
        entries += _text(key.replace("__", "."))
        if isinstance(value, str):
            entries += struct.pack("<I", 8) + _text(value)
        else:
            entries += struct.pack("<II", 4, value)
    tensor = _text("weights") + struct.pack("<IQIQ", 1, 1024, 24, 0)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values)) + entries + tensor
    return header + bytes(-len(header) % 32) + bytes(1024)


def vocabulary_gguf() -> bytes:
    """Return a GGUF file of a vocabulary without weights."""
    entry = _text("general.architecture") + struct.pack("<I", 8) + _text("llama")
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + entry + bytes(64)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def put_layer(root: Path, content: bytes) -> tuple[str, Path]:
    """Put a layer into a store; return its digest and its file."""
    digest = hashlib.sha256(content).hexdigest()
    blob = root / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    return f"sha256:{digest}", blob


def put_model(root: Path, name: str, **layers: bytes) -> Path:
    """Put a model with these layers into a store; return the file of its weights, if any."""
    listed, weights = [], Path()
    for kind, content in layers.items():
        digest, blob = put_layer(root, content)
        listed.append({"mediaType": KIND + kind, "digest": digest, "size": len(content)})
        weights = blob if kind == "model" else weights
    model, _, tag = name.partition(":")
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / model / (tag or "latest")
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": listed}))
    return weights
