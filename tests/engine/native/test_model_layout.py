"""The memory that a model's context takes, computed from the header of its file."""

import logging
import re
from contextlib import closing
from pathlib import Path

import pytest

from koel_tui.engine import ChatMessage, Engine, ModelSpec
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.model_layout import (
    context_layers,
    read_context_layout,
    read_layout,
)
from koel_tui.engine.native.weights import Model
from koel_tui.models import ModelFileError
from koel_tui.models.gguf_header import DamagedHeaderError, GgufHeader, Value
from tests.engine.tiny_models import (
    write_granite_hybrid_model,
    write_lfm2_model,
    write_recurrent_model,
    write_sliding_model,
)
from tests.models.damaged import patched
from tests.models.ollama_store import described_gguf

WRITERS = {
    "mamba": write_recurrent_model,
    "lfm2": write_lfm2_model,
    "granite": write_granite_hybrid_model,
    "sliding": write_sliding_model,
}
SLOTS, TOKENS = 200, 256
# The lines of llama.cpp's log about the memory of a context, in MiB with two decimals.
KV_SIZE = re.compile(r"KV buffer size = +([\d.]+) MiB")
STATE_SIZE = re.compile(r"RS buffer size = +([\d.]+) MiB")


@pytest.mark.parametrize("kind", WRITERS)
def test_report_27_the_memory_of_a_context_equals_the_allocation_of_llama_cpp(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = WRITERS[kind](tmp_path / "tiny.gguf")
    layout = read_context_layout(path)
    spec = ModelSpec(path, threads=1)
    caplog.set_level(logging.INFO)
    with (
        NativeLog(logging.getLogger("test")) as log,
        closing(Model(spec, log)) as model,
        closing(Context(model, spec, log, slots=SLOTS, context_tokens=TOKENS)),
    ):
        pass
    kv = sum(map(float, KV_SIZE.findall(caplog.text))) * 1024**2
    state = sum(map(float, STATE_SIZE.findall(caplog.text))) * 1024**2
    rounding = 0.01 * 1024**2
    assert SLOTS * TOKENS * layout.token_values * 2 == pytest.approx(kv, abs=rounding)
    assert SLOTS * layout.state_bytes == pytest.approx(state, abs=rounding)
    assert bool(layout.state_bytes) == (kind != "sliding")


@pytest.mark.parametrize("kind", WRITERS)
async def test_report_27_a_session_takes_its_tokens_and_its_state(
    tmp_path: Path, kind: str
) -> None:
    path = WRITERS[kind](tmp_path / "tiny.gguf")
    layout = read_context_layout(path)
    engine = await Engine.load(ModelSpec(path, context_tokens=TOKENS, slots=2, threads=1))
    try:
        slot = TOKENS * layout.token_values * 2 + layout.state_bytes
        assert (engine.memory.slots, engine.memory.context_bytes) == (1, slot) and slot > 0
        session = await engine.open_session(max_output_tokens=2)
        session.add(ChatMessage("user", "Once upon a time"))
        assert await session.respond()
        (used,) = engine.memory.sessions
        assert 0 < used.kv_bytes <= slot + 4 * layout.state_bytes  # with checkpoints
        assert used.kv_bytes >= layout.state_bytes
    finally:
        await engine.close()


def header(architecture: str, **values: Value) -> GgufHeader:
    named = {f"{architecture}.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufHeader({"general.architecture": architecture, **named}, 1, {}, 0)


SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 64, "ssm__state_size": 16, "ssm__group_count": 1}
STATE = 4 * (3 * (64 + 2 * 16) + 64 * 16)
HEADS = {"embedding_length": 64, "attention__head_count": 4}
KV = 2 * 4 * 16


@pytest.mark.parametrize(
    ("properties", "token_values", "states"),
    [
        (header("llama", block_count=2, **HEADS), [KV, KV], [0, 0]),
        (header("llama", block_count=2, attention__head_count_kv=1, **HEADS), [32, 32], [0, 0]),
        (
            header("openelm", block_count=2, attention__head_count_kv=(1, 2), **HEADS),
            [32, 64], [0, 0],
        ),
        # Every fourth layer has attention.
        (
            header("qwen35", block_count=4, **HEADS, **SSM),
            [0, 0, 0, KV], [STATE, STATE, STATE, 0],
        ),
        (
            header("qwen3next", block_count=4, full_attention_interval=2, **HEADS, **SSM),
            [0, KV, 0, KV], [STATE, 0, STATE, 0],
        ),
        (
            header("qwen35", block_count=2, attention__recurrent_layers=(0, 1), **HEADS, **SSM),
            [KV, 0], [0, STATE],
        ),
        # Each layer has attention and a state.
        (header("falcon-h1", block_count=2, **HEADS, **SSM), [KV, KV], [STATE, STATE]),
        # A layer with a state, one with attention, and one with neither.
        (
            header(
                "nemotron_h", block_count=3, attention__head_count_kv=(0, 4, 0),
                feed_forward_length=(0, 0, 128), **HEADS, **SSM,
            ),
            [0, KV, 0], [STATE, 0, 0],
        ),
        (
            header("jamba", block_count=2, attention__head_count_kv=(0, 4), **HEADS, **SSM),
            [0, KV], [STATE, 0],
        ),
        (
            header("rwkv7", block_count=1, embedding_length=64, wkv__head_size=16),
            [0], [4 * (2 * 64 + 64 * 16)],
        ),
        (
            header("kimi-linear", block_count=2, kda__head_dim=8, ssm__conv_kernel=4,
                   attention__head_count_kv=(0, 1), attention__key_length=36,
                   attention__value_length=32, attention__key_length_mla=12,
                   attention__value_length_mla=8, **HEADS),
            [0, 36], [4 * (3 * 3 * 4 * 8 + 8 * 8 * 4), 0],
        ),
        # The values are computed from the keys.
        (
            header("deepseek2", block_count=1, attention__head_count_kv=1,
                   attention__key_length=576, attention__value_length=512,
                   attention__key_length_mla=192, attention__value_length_mla=128, **HEADS),
            [576], [0],
        ),
        # Smaller heads in the window layers, and layers that share the cache of others.
        (
            header("gemma4", block_count=3, attention__head_count_kv=1, attention__key_length=32,
                   attention__value_length=32, attention__key_length_swa=16,
                   attention__value_length_swa=16, attention__shared_kv_layers=1,
                   attention__sliding_window_pattern=(True, False, True), **HEADS),
            [32, 64, 0], [0, 0, 0],
        ),
    ],
    ids=lambda value: value.architecture if isinstance(value, GgufHeader) else "",
)  # fmt: skip
def test_report_27_each_architecture_has_its_layers(
    properties: GgufHeader, token_values: list[int], states: list[int]
) -> None:
    layers = context_layers(properties)
    assert [layer.token_values for layer in layers] == token_values
    assert [layer.state_bytes for layer in layers] == states


@pytest.mark.parametrize(
    "last", ["block_count", "embedding_length", "attention__head_count", "attention__head_count_kv"]
)
def test_report_27_a_property_after_the_vocabulary_is_read(tmp_path: Path, last: str) -> None:
    """llama-quantize writes changed properties at the end of the header."""
    values = {"block_count": 2, "attention__head_count_kv": 2, **HEADS}
    named = {f"llama__{key}": value for key, value in values.items() if key != last}
    path = tmp_path / "m.gguf"
    path.write_bytes(
        described_gguf(
            general__architecture="llama",
            **named,
            tokenizer__ggml__model="gpt2",
            **{f"llama__{last}": values[last]},
        )
    )
    assert read_context_layout(path).token_values == 2 * 2 * 2 * 16


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"block_count": -1},
        {"block_count": "2"},
        {"block_count": 2.5, "embedding_length": float("nan")},
        {"block_count": 2, "attention__head_count": (0, 0), "embedding_length": 64},
        {"block_count": 2, "attention__head_count_kv": (-5,), "attention__head_count": -1},
        {"block_count": 2, "full_attention_interval": 0, "ssm__conv_kernel": -3, **HEADS},
    ],
    ids=repr,
)
def test_report_27_odd_numbers_in_a_header_take_no_negative_memory(
    values: dict[str, Value],
) -> None:
    layers = context_layers(header("llama", **values))
    assert all(layer.token_values >= 0 and layer.state_bytes >= 0 for layer in layers)


def test_report_27_an_impossible_number_of_layers_is_refused(
    tiny_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(DamagedHeaderError, match="100000 layers"):
        context_layers(header("llama", block_count=100_000))
    bad = patched(tiny_path, tmp_path / "bad.gguf", "gemma3.block_count", 100_000)
    with pytest.raises(ModelFileError, match=r"bad\.gguf.*damaged \(100000 layers\)"):
        read_context_layout(bad)


def test_report_31_the_weights_of_each_layer_are_in_the_layout(tiny_path: Path) -> None:
    layout = read_layout(tiny_path)
    assert len(layout.layers) == 2 and layout.trained_tokens == 4096
    assert layout.layers[0].weight_bytes == pytest.approx(layout.layers[1].weight_bytes, rel=0.01)
    total = sum(layer.weight_bytes for layer in layout.layers) + layout.output_bytes
    # The input layer stays in RAM: it has a row of 64 numbers for each token.
    embedding = layout.vocabulary_size * 64 * 4
    assert total + embedding == pytest.approx(tiny_path.stat().st_size, rel=0.1)


@pytest.mark.parametrize("kind", ["starter", *WRITERS])
def test_report_31_the_layout_without_weights_has_the_same_layers(
    tmp_path: Path, starter_path: Path, kind: str
) -> None:
    """The starter's properties precede its vocabulary; those of the other models follow it."""
    path = starter_path if kind == "starter" else WRITERS[kind](tmp_path / "tiny.gguf")
    whole, quick = read_layout(path), read_context_layout(path)
    assert (quick.token_values, quick.state_bytes) == (whole.token_values, whole.state_bytes)
    assert len(quick.layers) == len(whole.layers) > 0
