"""Kinds of files: those that are not models that write text, and those of Ollama."""

import re
from pathlib import Path

from koel_tui.models.gguf_header import GgufHeader

_TYPES = {
    "adapter": "it is an adapter (LoRA), not a model. Set it for a thread: f2, LoRA adapter",
    "imatrix": "it is an importance matrix, which is only used to make smaller files",
    "mmproj": "it is a projector for images or sound, not a model",
}
"""Reasons by the value of `general.type`."""
_ARCHITECTURES = {
    "clip": _TYPES["mmproj"],
    "controlvector": "it is a control vector, not a model",
    "imatrix": _TYPES["imatrix"],
}
_EMBEDDING = re.compile(r".*bert.*|t5encoder|gemma-embedding|llama-embed|eurobert|lfm2-embed.*")
"""The architectures that have no generation of text."""
_DRAWING = re.compile(
    r"flux.*|sd1|sd3|sdxl|sd|wan.*|qwen_image.*|ltxv.*|hidream.*|lumina.*|aura.*|cosmos.*|hyvid.*"
    r"|z_image.*|pig|cow|kandinsky.*"
)
"""The architectures of programs that make images."""
_SPEAKING = re.compile(r"wavtokenizer-dec|.*[-_]tts|orpheus-dec|mimi|snac")
_DIFFUSING = re.compile(r"dream|llada.*|rnd1")
_DRAFTING = re.compile(r".*-assistant|eagle\d*|dflash")
_OLLAMA_BLOB = re.compile(r"sha256-[0-9a-f]{64}")
_WRITES_NO_TEXT = "it writes no text: it is an embedding model, which is used for search"

_OLD_MAGICS = (b"ggml", b"ggjt", b"ggmf", b"ggla", b"lmgg", b"tjgg", b"fmgg", b"algg")
_STARTS = (
    (b"MZqFpD", "a llamafile, which is a program with a model in it. Download the GGUF file"),
    (b"PK\x03\x04", "a ZIP archive, as of PyTorch"),
    (b"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` downloads the file"),
    (b"<!", "a web page: the download failed"),
    (b"<html", "a web page: the download failed"),
    (b"{", "JSON"),
)


def why_no_model(header: GgufHeader) -> str:
    """Return why a GGUF file cannot write text, as a clause; '' if nothing is against it.

    The reason is certain: an unknown kind is not refused.
    """
    architecture = header.architecture.lower()
    reason = _TYPES.get(header.text("general.type").lower()) or _ARCHITECTURES.get(architecture)
    if reason:
        return reason
    if header.text("adapter.type"):
        return _TYPES["adapter"]
    if _EMBEDDING.fullmatch(architecture) or _pools(header):
        return _WRITES_NO_TEXT
    if _DRAWING.fullmatch(architecture):
        return "it is a model that makes images"
    if _SPEAKING.fullmatch(architecture):
        return "it is a model that makes sound"
    if _DIFFUSING.fullmatch(architecture):
        return "it writes by diffusion, which koel-chat cannot run"
    if _DRAFTING.fullmatch(architecture):
        return "it only helps another model to write faster"
    if architecture and not header.tensor_count:
        return "it has a vocabulary, but no weights"
    return ""


def _pools(header: GgufHeader) -> bool:
    """Return whether a model is made to compare texts: an embedding model or a reranker."""
    kind = header.values.get(f"{header.architecture}.pooling_type", 0)
    return isinstance(kind, int) and kind > 0


def is_ollama_blob(path: Path) -> bool:
    """Return whether a path is that of a file in the store of Ollama."""
    return path.parent.name == "blobs" and _OLLAMA_BLOB.fullmatch(path.name) is not None


def describe_other_format(start: bytes) -> str:
    """Return the format of a file that is not GGUF, from its first bytes; '' if unknown."""
    if start[:4] in _OLD_MAGICS:
        return "a GGML file, the format before GGUF"
    if len(start) > 8 and start[8:9] == b"{" and not any(start[6:8]):
        return "a safetensors file"
    found = (name for magic, name in _STARTS if start.lower().startswith(magic.lower()))
    return next(found, "")
