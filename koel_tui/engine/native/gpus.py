"""The graphics processors that llama.cpp uses, with their memory.

The bindings declare no function for devices, so this module declares those of ggml that it calls.
Call it on the owner thread only, like every native function.
"""

import ctypes
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llama_cpp

_log = logging.getLogger(__name__)
_GPU, _INTEGRATED_GPU = 1, 2
"""Values of `ggml_backend_dev_type`."""
_REMOTE = "RPC"
"""The backend of processors on other computers."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A graphics processor; `is_shared` is whether its memory is that of the computer.

    The sizes are 0 if the driver does not tell them.
    """

    name: str
    free_bytes: int
    total_bytes: int
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """The memory of all graphics processors that get layers of a model.

    `free_bytes` is None if a driver does not tell it: then nothing is refused because of it.
    """

    name: str
    free_bytes: int | None
    is_shared: bool


ListGpus = Callable[[], tuple[Gpu, ...]]


def gpu_memory(gpus: tuple[Gpu, ...]) -> GpuMemory | None:
    """Return the memory of the processors together, None if there are none.

    llama.cpp distributes the layers by the free memory of each.
    """
    if not gpus:
        return None
    is_known = all(gpu.total_bytes > 0 for gpu in gpus)
    return GpuMemory(
        ", ".join(dict.fromkeys(gpu.name for gpu in gpus)),
        sum(gpu.free_bytes for gpu in gpus) if is_known else None,
        all(gpu.is_shared for gpu in gpus),
    )


def list_gpus() -> tuple[Gpu, ...]:
    """Return the processors that llama.cpp puts layers on: integrated ones only without others."""
    if not llama_cpp.llama_supports_gpu_offload():
        return ()
    try:
        found = _devices(_Ggml())
    except (AttributeError, ImportError, OSError) as error:
        _log.warning("The memory of the GPU is unknown: %r", error)
        return ()
    return tuple(gpu for kind, gpu in found if kind == _GPU) or tuple(gpu for _, gpu in found)


class _Ggml:
    """The functions of ggml for devices. Raises AttributeError if one is missing."""

    def __init__(self) -> None:
        from llama_cpp import _ggml

        def declared(name: str, result: Any, *arguments: Any) -> Any:
            # A prototype, because other users of the library may declare the function as well.
            return ctypes.CFUNCTYPE(result, *arguments)((name, _ggml.libggml))

        size, device, text = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_char_p
        self.count = declared("ggml_backend_dev_count", size)
        self.get = declared("ggml_backend_dev_get", device, size)
        self.kind = declared("ggml_backend_dev_type", ctypes.c_int, device)
        self.description = declared("ggml_backend_dev_description", text, device)
        self.backend = declared("ggml_backend_dev_backend_reg", ctypes.c_void_p, device)
        self.backend_name = declared("ggml_backend_reg_name", text, ctypes.c_void_p)
        pointer = ctypes.POINTER(size)
        self.memory = declared("ggml_backend_dev_memory", None, device, pointer, pointer)


def _devices(ggml: _Ggml) -> list[tuple[int, Gpu]]:
    found: list[tuple[int, Gpu]] = []
    backends: dict[str, str] = {}
    for index in range(ggml.count()):
        device = ggml.get(index)
        kind = ggml.kind(device)
        if kind not in (_GPU, _INTEGRATED_GPU):
            continue
        name = (ggml.description(device) or b"").decode("utf-8", "replace")
        backend = (ggml.backend_name(ggml.backend(device)) or b"").decode("utf-8", "replace")
        # Two backends of llama.cpp may find the same processor; it uses the first.
        if backends.setdefault(name, backend) != backend:
            continue
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.memory(device, ctypes.byref(free), ctypes.byref(total))
        is_shared = kind == _INTEGRATED_GPU or (_is_apple_silicon() and backend != _REMOTE)
        found.append((kind, Gpu(name, free.value, total.value, is_shared)))
    return found


def _is_apple_silicon() -> bool:
    return sys.platform == "darwin" and os.uname().machine == "arm64"
