"""Damaged model files: invalid headers, and valid models with one changed field or byte."""

import random
import struct
from collections.abc import Callable
from pathlib import Path

import gguf

_U32, _U64, _STRING, _ARRAY = 4, 10, 8, 9
_MOST = 2**64 - 1


def _text(text: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if length is None else length) + text


def _entry(key: bytes, kind: int, value: bytes) -> bytes:
    return _text(key) + struct.pack("<I", kind) + value


def _header(
    entries: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: bytes = struct.pack("<I", 3),
    tensors: int = 0,
    count: int | None = None,
    rest: bytes = b"",
) -> bytes:
    """Return a header with an entry for the architecture and the given entries."""
    named = _entry(b"general.architecture", _STRING, _text(b"llama"))
    counted = (1 + bool(entries)) if count is None else count
    return magic + version + struct.pack("<QQ", tensors, counted) + named + entries + rest


def _array(kind: int, count: int, values: bytes = b"") -> bytes:
    return _entry(b"k", _ARRAY, struct.pack("<IQ", kind, count) + values)


def _tensor(
    name: bytes = b"token_embd.weight",
    *,
    name_length: int | None = None,
    dimensions: tuple[int, ...] = (32, 32),
    said: int | None = None,
    kind: int = 0,
    offset: int = 0,
) -> bytes:
    head = _text(name, name_length) + struct.pack("<I", len(dimensions) if said is None else said)
    return head + struct.pack(f"<{len(dimensions)}QIQ", *dimensions, kind, offset)


def _weights(tensor: bytes, count: int = 1) -> bytes:
    return _header(tensors=count, rest=tensor + bytes(8192))


def _alignment(value: int) -> bytes:
    entry = _entry(b"general.alignment", _U32, struct.pack("<I", value))
    return _header(entry, tensors=1, rest=_tensor() + bytes(8192))


def damaged_headers() -> dict[str, bytes]:
    """Return the contents of files with an invalid header, by the name of the damage."""
    headers = {
        "magic of another format": _header(magic=b"PK\3\4"),
        "magic in small letters": _header(magic=b"gguf"),
        "magic backwards": _header(magic=b"FUGG"),
        "version in the other byte order": _header(version=struct.pack(">I", 3)),
        "value cut off": _header()[:-3],
        "key cut off": _header()[:36],
        "counts cut off": _header()[:12],
        "version cut off": _header()[:6],
        "magic alone": b"GGUF",
        "key as long as no file": _header(_text(b"k", 2**40)),
        "key of length -1": _header(_text(b"k", _MOST)),
        "text as long as no file": _header(_entry(b"k", _STRING, _text(b"v", 2**40))),
        "text of length 2^63": _header(_entry(b"k", _STRING, _text(b"v", 2**63))),
        "text of length -1": _header(_entry(b"k", _STRING, _text(b"v", _MOST))),
        "array of arrays": _header(_array(_ARRAY, 1, struct.pack("<IQ", _ARRAY, 1))),
        "array of no type": _header(_array(99, 1, bytes(8))),
        "alignment as text": _header(_entry(b"general.alignment", _STRING, _text(b"32"))),
        "the same key twice": _header(_entry(b"general.architecture", _STRING, _text(b"llama"))),
        "name of a tensor as long as no file": _weights(_tensor(name_length=2**40)),
        "name of a tensor of 65 letters": _weights(_tensor(b"x" * 65)),
        "the same tensor twice": _weights(_tensor() * 2, 2),
        "tensor of 5 dimensions": _weights(_tensor(dimensions=(2,) * 5)),
        "tensor of 2^32 - 1 dimensions": _weights(_tensor(said=2**32 - 1)),
        "tensor of size 0": _weights(_tensor(dimensions=(0, 0))),
        "tensor of size 2^63": _weights(_tensor(dimensions=(2**63, 1))),
        "tensor whose size overflows": _weights(_tensor(dimensions=(2**32, 2**32, 2))),
        "tensor of no type": _weights(_tensor(kind=255)),
        "tensor far behind the end": _weights(_tensor(offset=2**40)),
        "tensor at offset -32": _weights(_tensor(offset=2**64 - 32)),
        "tensor at an odd offset": _weights(_tensor(offset=7)),
    }
    for version in (0, 1, 4, 2**32 - 1):
        headers[f"version {version}"] = _header(version=struct.pack("<I", version))
    for count in (2**40, 2**63, _MOST):
        headers[f"{count} tensors"] = _header(tensors=count)
        headers[f"{count} entries"] = _header(count=count)
        headers[f"array of {count} numbers"] = _header(_array(_U64, count))
        headers[f"array of {count} texts"] = _header(_array(_STRING, count))
    for kind in (13, 2**32 - 1):
        headers[f"value of type {kind}"] = _header(_entry(b"k", kind, bytes(8)))
    for alignment in (0, 3, 2**32 - 1):
        headers[f"alignment {alignment}"] = _alignment(alignment)
    return headers


FIELDS: dict[str, tuple[str, float]] = {
    f"{name} {value:g}": (name, value)
    for name, value in [
        ("gemma3.block_count", 0), ("gemma3.block_count", 513),
        ("gemma3.embedding_length", 0), ("gemma3.embedding_length", 2**31 - 1),
        ("gemma3.attention.head_count", 0), ("gemma3.attention.head_count", 3),
        ("gemma3.attention.head_count_kv", 0), ("gemma3.attention.key_length", 2**31 - 1),
        ("gemma3.attention.layer_norm_rms_epsilon", float("nan")),
        ("gemma3.rope.freq_base", 0), ("gemma3.context_length", 2**32 - 1),
        ("gemma3.attention.sliding_window", 2**32 - 1),
        ("tokenizer.ggml.bos_token_id", 2**31), ("tokenizer.ggml.eos_token_id", 2**32 - 1),
    ]
}  # fmt: skip
"""The field to change in a valid model and its new value, by a description of both."""


def patched(model: Path, target: Path, name: str, value: float) -> Path:
    """Write a copy of the model in which one number of the header is changed; return `target`."""
    target.write_bytes(model.read_bytes())
    reader = gguf.GGUFReader(target, "r+")
    field = reader.fields[name]
    field.parts[field.data[0]][0] = value
    reader.data.flush()
    return target


def flipper(model: Path) -> Callable[[Path, int], Path]:
    """Return a function that writes the model with one header byte changed, chosen by a seed."""
    whole = model.read_bytes()
    size = gguf.GGUFReader(model).data_offset

    def flip(target: Path, seed: int) -> Path:
        numbers = random.Random(seed)
        data = bytearray(whole)
        data[numbers.randrange(4, size)] ^= numbers.randrange(1, 256)
        target.write_bytes(data)
        return target

    return flip
