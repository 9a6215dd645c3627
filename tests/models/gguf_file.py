"""Small GGUF files with a valid header, for code that reads only the header."""

import struct
from pathlib import Path


def gguf_bytes(size: int = 4096, seed: int = 0) -> bytes:
    """Return a header with one tensor, and `size` bytes of data."""
    name = b"weights"
    tensor = struct.pack("<Q", len(name)) + name + struct.pack("<IQIQ", 1, size, 24, 0)
    header = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor
    body = bytes((index * 31 + seed) % 251 for index in range(min(size, 65_536)))
    return header + bytes(-len(header) % 32) + (body * (size // max(1, len(body)) + 1))[:size]


def write_gguf(path: Path, size: int = 4096, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes(size, seed))
    return path
