"""The memory that each layer of a model needs, from the header of its file.

llama.cpp does not tell how large a context will be before it allocates it. The rules are those of
its source: `llama-hparams.cpp` and `llama-model.cpp`, `create_memory`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from koel_tui.models.downloaded import model_files
from koel_tui.models.gguf import ModelFileError, read_gguf
from koel_tui.models.gguf_header import DamagedHeaderError, GgufHeader, Value, tensor_sizes

_MAX_LAYERS = 1024
_STATE_VALUE_BYTES = 4
"""llama.cpp stores recurrent states in 32 bits, for every type of the KV cache."""
_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
"""The architectures without attention."""
_ATTENTION_AND_STATE = frozenset({"falcon-h1"})
"""The architectures with attention and a recurrent state in each layer."""
_INTERVALS = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "qwen4exp": 4, "minimax-01": 8}
"""The architectures in which each n-th layer has attention, and n if the file does not say."""
_OWN_KV_LAYERS = {"gemma3n": 20}
"""The number of layers with their own KV cache, where the file does not say it."""
_LAYER_PROPERTIES = (
    "block_count",
    "embedding_length",
    "attention.head_count",
    "attention.head_count_kv",
)
"""Properties that nearly all models have. The programs that write files keep those of an
architecture together; a program that changes one may write it last."""
_BLOCK = re.compile(r"blk\.(\d+)\.")
_INPUTS = ("token_embd.", "per_layer_token_embd.", "position_embd.", "token_types.")
"""The tensors of the input, which llama.cpp keeps in RAM."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The memory of a layer: its weights, its KV cache and its recurrent state.

    `token_values` is the number of values of the KV cache for each token. `state_bytes` is the
    state of a slot; it does not depend on the number of tokens.
    """

    weight_bytes: int = 0
    token_values: int = 0
    state_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """The memory of a model: its layers, its output, and the tokens in its vocabulary.

    `trained_tokens` is the context of its training, 0 if the file does not tell it.
    """

    layers: tuple[Layer, ...]
    output_bytes: int = 0
    vocabulary_size: int = 0
    trained_tokens: int = 0

    @property
    def token_values(self) -> int:
        """The values of the KV cache for each token."""
        return sum(layer.token_values for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """The bytes of the recurrent state of each slot."""
        return sum(layer.state_bytes for layer in self.layers)


def read_layout(path: Path) -> ModelLayout:
    """Return the layout of the model in a file, or in the parts that begin with it.

    Raises `ModelFileError`.
    """
    header, size = read_gguf(path)
    layers = _layers_of(path, header)
    sizes = tensor_sizes(header, size)
    for part in model_files(path):
        if part != path:
            more, part_size = read_gguf(part)
            sizes |= tensor_sizes(more, part_size)
    weights, output, input_bytes = [0] * len(layers), 0, 0
    for name, tensor_bytes in sizes.items():
        block = _BLOCK.match(name)
        if block is not None:
            if int(block[1]) < len(layers):
                weights[int(block[1])] += tensor_bytes
        elif name.startswith(_INPUTS):
            input_bytes += tensor_bytes if name == "token_embd.weight" else 0
        else:
            output += tensor_bytes
    if "output.weight" not in sizes:  # the output is a copy of the input
        output += input_bytes
    embedding = header.tensors.get("token_embd.weight")
    return ModelLayout(
        tuple(
            Layer(weight, layer.token_values, layer.state_bytes)
            for weight, layer in zip(weights, layers, strict=True)
        ),
        output,
        embedding.shape[1] if embedding is not None and len(embedding.shape) > 1 else 0,
        _Numbers(header.values, header.architecture).one("context_length"),
    )


def read_context_layout(path: Path) -> ModelLayout:
    """Return the layout of a model without weights and vocabulary. Raises `ModelFileError`.

    It reads the vocabulary only if the properties of the layers are not before it, because that
    takes most of the time.
    """
    header, _ = read_gguf(path, vocabulary=False)
    if any(f"{header.architecture}.{each}" not in header.values for each in _LAYER_PROPERTIES):
        header, _ = read_gguf(path)
    return ModelLayout(_layers_of(path, header))


def _layers_of(path: Path, header: GgufHeader) -> tuple[Layer, ...]:
    try:
        return context_layers(header)
    except DamagedHeaderError as error:
        raise ModelFileError(path, f"its header is damaged ({error})") from None


def context_layers(header: GgufHeader) -> tuple[Layer, ...]:
    """Return the layers of a model without their weights. Raises `DamagedHeaderError`."""
    numbers = _Numbers(header.values, header.architecture)
    count = numbers.one("block_count")
    if count > _MAX_LAYERS:
        raise DamagedHeaderError(f"{count} layers")
    recurrent = _recurrent_layers(numbers, count)
    state = _state_values(numbers) * _STATE_VALUE_BYTES
    both = header.architecture in _ATTENTION_AND_STATE
    return tuple(
        Layer(
            token_values=values if both or not is_recurrent else 0,
            state_bytes=state if both or is_recurrent else 0,
        )
        for values, is_recurrent in zip(_kv_values(numbers, count), recurrent, strict=True)
    )


class _Numbers:
    """The numbers of an architecture in the header of a file."""

    def __init__(self, values: Mapping[str, Value], architecture: str) -> None:
        self._values = values
        self.architecture = architecture

    def has(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._values

    def one(self, key: str, default: int = 0) -> int:
        """Return a number; of an array the first."""
        value = self._values.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            value = value[0] if value else None
        return max(0, int(value)) if isinstance(value, int) else default

    def each(self, key: str, count: int, default: Sequence[int] | int = 0) -> list[int]:
        """Return a number for each of `count` layers."""
        fallback = [default] * count if isinstance(default, int) else list(default)
        value = self._values.get(f"{self.architecture}.{key}")
        if isinstance(value, int):
            return [max(0, int(value))] * count
        if not isinstance(value, tuple):
            return fallback
        numbers = [max(0, int(each)) if isinstance(each, int) else 0 for each in value]
        return (numbers + fallback[len(numbers) :])[:count]


def _kv_values(numbers: _Numbers, count: int) -> list[int]:
    """Return the values of keys and values per token, as if each layer had attention."""
    heads = numbers.each("attention.head_count", count)
    kv_heads = numbers.each("attention.head_count_kv", count, heads)
    default = numbers.one("embedding_length") // heads[0] if heads and heads[0] else 0
    key = numbers.one("attention.key_length", default)
    value = numbers.one("attention.value_length", default)
    if numbers.one("attention.key_length_mla") and numbers.one("attention.value_length_mla"):
        value = 0  # the values are computed from the keys
    key_swa = numbers.one("attention.key_length_swa", key)
    value_swa = numbers.one("attention.value_length_swa", value) if value else 0
    # Without the pattern, each layer may be the larger one.
    sliding = [key_swa + value_swa > key + value] * count
    if numbers.has("attention.sliding_window_pattern"):
        pattern = numbers.each("attention.sliding_window_pattern", count, -1)
        sliding = [bool(each) if each in (0, 1) else sliding[0] for each in pattern]
    own = count - numbers.one("attention.shared_kv_layers")
    own = min(own, _OWN_KV_LAYERS.get(numbers.architecture, count))
    indexer = numbers.one("attention.indexer.key_length")
    return [
        (heads_here * (key_swa + value_swa if is_sliding else key + value) + indexer)
        if layer < own
        else 0
        for layer, (heads_here, is_sliding) in enumerate(zip(kv_heads, sliding, strict=True))
    ]


def _recurrent_layers(numbers: _Numbers, count: int) -> list[bool]:
    """Return for each layer whether it has a recurrent state."""
    if numbers.architecture in _RECURRENT | _ATTENTION_AND_STATE:
        return [True] * count
    if not _state_values(numbers):
        return [False] * count
    if numbers.has("attention.recurrent_layers"):
        return [bool(each) for each in numbers.each("attention.recurrent_layers", count)]
    if numbers.architecture in _INTERVALS or numbers.has("full_attention_interval"):
        interval = numbers.one("full_attention_interval", _INTERVALS.get(numbers.architecture, 4))
        last = count - numbers.one("nextn_predict_layers")
        return [layer < last and (layer + 1) % max(1, interval) != 0 for layer in range(count)]
    kv_heads = numbers.each("attention.head_count_kv", count)
    if not numbers.architecture.startswith("nemotron_h"):
        return [not heads for heads in kv_heads]
    # A layer is attention, a state, or a feed-forward layer, which has neither.
    feed_forward = numbers.each("feed_forward_length", count)
    return [not heads and not width for heads, width in zip(kv_heads, feed_forward, strict=True)]


def _state_values(numbers: _Numbers) -> int:
    """Return the values of the recurrent state of a layer, 0 for a model without one."""
    width = numbers.one("embedding_length")
    if head := numbers.one("wkv.head_size"):
        return width * numbers.one("token_shift_count", 2) + width * head
    if cache := numbers.one("shortconv.l_cache"):
        return width * (cache - 1)
    kernel = numbers.one("ssm.conv_kernel")
    heads = numbers.one("attention.head_count")
    if head := numbers.one("kda.head_dim"):
        return 3 * (kernel - 1 if kernel else 3) * heads * head + head * head * heads
    if numbers.architecture == "minimax-01":
        return numbers.one("attention.key_length", width // max(1, heads)) ** 2 * heads
    inner, state = numbers.one("ssm.inner_size"), numbers.one("ssm.state_size")
    convolved = inner + 2 * numbers.one("ssm.group_count") * state
    return max(0, kernel - 1) * convolved + state * inner
