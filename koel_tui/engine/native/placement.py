"""The place of a model: the layers on the GPU, the slots, and the checks that both fit.

llama.cpp may abort if memory is short, so a load that does not fit is refused before it begins.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from koel_tui.engine.errors import ModelLoadError
from koel_tui.engine.native.context.free_memory import MemoryShare, check_memory, free_memory
from koel_tui.engine.native.context.llama_context import KV_TYPES
from koel_tui.engine.native.context.slots import slot_count
from koel_tui.engine.native.gpus import GpuMemory, ListGpus, gpu_memory
from koel_tui.engine.native.model_layout import Layer, ModelLayout, read_context_layout, read_layout
from koel_tui.engine.types import DEFAULT_CONTEXT_TOKENS, ModelSpec
from koel_tui.engine.wire_messages import Load
from koel_tui.models.gguf import ModelFileError

_log = logging.getLogger(__name__)

_USABLE = 0.9
"""The part of the free memory of a GPU that is used; the rest is for what cannot be counted."""
_GPU_COMPUTE_BYTES = 256 * 1024 * 1024
"""Approximate size of the buffers for one batch on a GPU, without those for the vocabulary."""
_LOGIT_BYTES = 4
_MB = 1e6
_MORE_LAYERS = "more layers on the GPU (--gpu-layers)"
_FEWER_LAYERS = "fewer layers on the GPU (--gpu-layers)"


@dataclass(frozen=True, slots=True)
class SlotSize:
    """The bytes of a slot in one memory: those of each token, and those of the recurrent state."""

    token_bytes: int
    state_bytes: int

    def slot_bytes(self, tokens: int) -> int:
        """Return the bytes of a slot of `tokens` tokens."""
        return tokens * self.token_bytes + self.state_bytes


@dataclass(frozen=True, slots=True)
class Request:
    """The request of a load, with the context in tokens and the bytes of a value of its cache."""

    spec: ModelSpec
    context_tokens: int
    bytes_per_value: float
    parallel: int
    max_sessions: int | None

    @property
    def min_slots(self) -> int:
        """The smallest number of slots."""
        return self.spec.slots or self.parallel


def layers_on_gpu(layout: ModelLayout, requested: int) -> int:
    """Return how many layers, the output counted as one, a number of `--gpu-layers` means."""
    total = len(layout.layers) + 1
    return total if requested < 0 else min(requested, total)


def place_layers(layout: ModelLayout, request: Request, gpu: GpuMemory | None) -> int:
    """Return the number of layers for the GPU as llama.cpp wants it: -1 for all.

    By default these are the layers that fit into its free memory. Raises `ModelLoadError` if a
    number of layers that the user has set does not fit; the message has the number that does.
    """
    spec = request.spec
    if gpu is None or gpu.free_bytes is None:
        return spec.gpu_layers
    wanted, usable = layers_on_gpu(layout, spec.gpu_layers), gpu.free_bytes * _USABLE
    needs = [_gpu_bytes(layout, request, layers) for layers in range(wanted + 1)]
    fitting = max(layers for layers, needed in enumerate(needs) if needed <= usable or not layers)
    if fitting == wanted:
        return spec.gpu_layers
    if spec.gpu_layers < 0:
        return fitting
    raise ModelLoadError(
        f"{wanted} layers of {spec.path.name} and their context need {needs[wanted] / _MB:,.0f} MB "
        f"of GPU memory and {gpu.free_bytes / _MB:,.0f} MB are free ({gpu.name}). "
        f"Use --gpu-layers {fitting}, a smaller context (--context-tokens) or a smaller model."
    )


def slot_sizes(
    layout: ModelLayout, bytes_per_value: float, gpu_layers: int
) -> tuple[SlotSize, SlotSize]:
    """Return the sizes of a slot in RAM and on the GPU; a layer has its cache where it is."""
    first = max(len(layout.layers) + 1 - gpu_layers, 0)
    return (
        _slot_size(layout.layers[:first], bytes_per_value),
        _slot_size(layout.layers[first:], bytes_per_value),
    )


def place_slots(
    layout: ModelLayout, request: Request, gpu_layers: int, gpu: GpuMemory | None, free_ram: int
) -> int:
    """Return the maximum number of slots, with the weights loaded. Raises `ModelLoadError`.

    The free memory is that after the weights were loaded. A slot takes memory where the layers are,
    so little RAM refuses no model that is on the GPU.
    """
    shares = memory_shares(layout, request, gpu_layers, gpu, free_ram)
    # If no share can be checked, RAM is a hint for the number of slots.
    whole = slot_sizes(layout, request.bytes_per_value, 0)[0].slot_bytes(request.context_tokens)
    count = request.spec.slots or min(
        slot_count(
            free_bytes=free,
            slot_bytes=slot_bytes,
            parallel=request.parallel,
            max_sessions=request.max_sessions,
        )
        for free, slot_bytes in [(s.free_bytes, s.slot_bytes) for s in shares]
        or [(free_ram, whole)]
    )
    for share in shares:
        check_memory(count, request.context_tokens, share)
    return count


def memory_shares(
    layout: ModelLayout, request: Request, gpu_layers: int, gpu: GpuMemory | None, free_ram: int
) -> list[MemoryShare]:
    """Return what a slot takes of each memory that it is in and whose size is known."""
    on_gpu = 0 if gpu is None else layers_on_gpu(layout, gpu_layers)
    ram_bytes, gpu_bytes = (
        size.slot_bytes(request.context_tokens)
        for size in slot_sizes(layout, request.bytes_per_value, on_gpu)
    )
    if gpu is None or not gpu_bytes:
        return [MemoryShare(free_ram, ram_bytes + gpu_bytes)]
    shares = []
    if gpu.is_shared:
        shares.append(MemoryShare(free_ram, ram_bytes + gpu_bytes))
    elif ram_bytes:
        shares.append(MemoryShare(free_ram, ram_bytes, remedy=_MORE_LAYERS))
    if gpu.free_bytes is not None:
        name = f"the memory of the GPU ({gpu.name})"
        shares.append(MemoryShare(gpu.free_bytes, gpu_bytes, name, _FEWER_LAYERS))
    return shares


def _gpu_bytes(layout: ModelLayout, request: Request, gpu_layers: int) -> int:
    """Return the bytes on the GPU with a number of layers there: weights, slots and buffers."""
    if not gpu_layers:
        return 0
    first = max(len(layout.layers) + 1 - gpu_layers, 0)
    weights = layout.output_bytes + sum(layer.weight_bytes for layer in layout.layers[first:])
    _, slot = slot_sizes(layout, request.bytes_per_value, gpu_layers)
    logits = layout.vocabulary_size * request.spec.batch_tokens * _LOGIT_BYTES
    slots = request.min_slots * slot.slot_bytes(request.context_tokens)
    return weights + slots + logits + _GPU_COMPUTE_BYTES


def _slot_size(layers: Sequence[Layer], bytes_per_value: float) -> SlotSize:
    return SlotSize(
        int(sum(layer.token_values for layer in layers) * bytes_per_value),
        sum(layer.state_bytes for layer in layers),
    )


class Placement:
    """The place of a model. It is created before the weights load; slots are placed after."""

    def __init__(
        self, load: Load, list_gpus: ListGpus, free_ram: Callable[[], int] = free_memory
    ) -> None:
        """Decide the layers for the GPU. Raises `ModelLoadError` if the requested ones do not fit.

        `list_gpus` returns the processors with the memory that is free at that moment, `free_ram`
        the bytes of RAM that are free.
        """
        self.spec = load.spec
        self.free_ram = free_ram
        self._load = load
        self._list_gpus = list_gpus
        self._layout: ModelLayout | None = None
        gpu = gpu_memory(list_gpus()) if load.spec.gpu_layers else None
        self._has_gpu = gpu is not None
        if gpu is None:
            return
        try:
            self._layout = read_layout(load.spec.path)
        except ModelFileError:
            return  # llama.cpp refuses the file with its own reason
        context_tokens = context_size(load.spec, self._layout.trained_tokens)
        layers = place_layers(self._layout, self._request(context_tokens), gpu)
        self.spec = replace(load.spec, gpu_layers=layers)

    @property
    def layers(self) -> int:
        """The number of layers, the output counted as one."""
        return 0 if self._layout is None else len(self._layout.layers) + 1

    @property
    def cpu_layers(self) -> int:
        """The number of layers that do not fit into the memory of the GPU."""
        if self._layout is None or self.spec.gpu_layers == self._load.spec.gpu_layers:
            return 0
        return self.layers - self.spec.gpu_layers

    def place_slots(
        self, context_tokens: int, free_ram: int, loaded_layout: Callable[[], ModelLayout]
    ) -> tuple[int, SlotSize]:
        """Return the maximum number of slots and the size of each, once the weights are loaded.

        `loaded_layout` returns the approximate layout of the loaded weights. It is used if the
        header cannot be read here, because llama.cpp has read the file. Raises `ModelLoadError` if
        the slots do not fit.
        """
        layout = self._layout
        if layout is None:
            try:
                layout = self._layout = read_context_layout(self.spec.path)
            except ModelFileError as error:
                _log.warning("The memory of the context is an estimate: %s", error.reason)
                layout = self._layout = loaded_layout()
        request = self._request(context_tokens)
        count = place_slots(layout, request, self.spec.gpu_layers, self._gpu(), free_ram)
        return count, slot_sizes(layout, request.bytes_per_value, 0)[0]

    def check_context(self, slots: int, context_tokens: int) -> None:
        """Check that another context fits next to the one in use. Raises `ModelLoadError`."""
        if self._layout is None:
            return
        request, layers = self._request(context_tokens), self.spec.gpu_layers
        shares = memory_shares(self._layout, request, layers, self._gpu(), self.free_ram())
        for share in shares:
            check_memory(slots, context_tokens, share)

    def halve_layers(self) -> bool:
        """Place half as many layers on the GPU; return False if it has none or the user set them.

        The free memory of a GPU is only an estimate of what can be allocated there.
        """
        if self._layout is None or not self._has_gpu or self._load.spec.gpu_layers >= 0:
            return False
        layers = layers_on_gpu(self._layout, self.spec.gpu_layers)
        self.spec = replace(self.spec, gpu_layers=layers // 2)
        return layers > 0

    def _gpu(self) -> GpuMemory | None:
        return gpu_memory(self._list_gpus()) if self._has_gpu else None

    def _request(self, context_tokens: int) -> Request:
        _, bytes_per_value = KV_TYPES[self.spec.kv_type]
        return Request(
            self._load.spec,
            context_tokens,
            bytes_per_value,
            self._load.parallel,
            self._load.max_sessions,
        )


def context_size(spec: ModelSpec, trained_tokens: int) -> int:
    """Return the tokens of a slot: those of `spec`, else of the training, at most the default."""
    default = min(trained_tokens or DEFAULT_CONTEXT_TOKENS, DEFAULT_CONTEXT_TOKENS)
    return spec.context_tokens or default
