"""The context: a truncated tail that is decoded again gives the logits of a fresh context."""

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.context.llama_context import Context, DecodeAborted
from koel_tui.engine.native.context.sequence_state import SequenceState
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model
from tests.engine.tiny_models import write_sliding_model

TEXT = "The lighthouse keeper wrote down every ship that passed, and when the fog came he rang the"


@pytest.fixture
def context(model: Model, starter_path: Path, native_log: NativeLog) -> Iterator[Context]:
    spec = ModelSpec(starter_path, batch_tokens=64, threads=1)
    made = Context(model, spec, native_log, slots=3, context_tokens=512)
    yield made
    made.close()


def logits(context: Context, sequence: int, position: int, tokens: list[int]) -> list[float]:
    (row,) = context.decode([Chunk(sequence, position, tokens, wants_logits=True)])
    pointer = llama_cpp.llama_get_logits_ith(context.handle, row)
    return list(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * 49152)).contents)


def apart(one: list[float], other: list[float]) -> float:
    """Return the distance of two sets of logits: 0 means equal, about 1 means unrelated."""
    product = sum(a * b for a, b in zip(one, other, strict=True))
    sizes = math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))
    return 1 - product / sizes


def test_context_a_dropped_tail_leaves_no_trace(context: Context, model: Model) -> None:
    tokens = model.tokenize(TEXT, special=False, start=False)
    other = model.tokenize(" quarterly tax figures of the north", special=False, start=False)
    fresh = logits(context, 0, 0, tokens)
    keep = len(tokens) - 8
    logits(context, 1, 0, tokens[:keep] + other)
    assert context.truncate(1, keep)
    again = logits(context, 1, keep, tokens[keep:])
    wrong = logits(context, 2, 0, tokens[: keep - 5] + other + tokens[keep:])
    assert apart(fresh, again) < 0.001, "the dropped tail is still seen"
    assert apart(fresh, wrong) > 0.005, "the measure cannot tell a wrong prefix"


def test_context_sequences_do_not_see_each_other(context: Context, model: Model) -> None:
    tokens = model.tokenize(TEXT, special=False, start=False)
    alone = logits(context, 0, 0, tokens)
    logits(context, 1, 0, tokens[::-1])
    context.clear(0)
    assert logits(context, 0, 0, tokens) == alone


def test_context_abort_interrupts_a_decode_and_the_context_stays_usable(
    context: Context, model: Model
) -> None:
    tokens = model.tokenize(TEXT, special=False, start=False)
    fresh = logits(context, 0, 0, tokens)
    context.abort = True
    with pytest.raises(DecodeAborted):
        logits(context, 1, 0, tokens)
    context.abort = False
    context.clear(1)
    assert apart(fresh, logits(context, 1, 0, tokens)) < 0.001


def test_context_without_memory_for_a_moved_state_the_sequence_is_empty(
    context: Context, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prompt is then decoded again, as if the state had been lost."""
    logits(context, 0, 0, model.tokenize(TEXT, special=False, start=False))
    state = context.copy_state(0)

    def without_memory(*_: object) -> SequenceState:
        raise MemoryError

    monkeypatch.setattr(SequenceState, "with_streams", without_memory)
    assert not context.load_state(1, state)
    memory = llama_cpp.llama_get_memory(context.handle)
    assert llama_cpp.llama_memory_seq_pos_max(memory, 1) == -1


@pytest.mark.parametrize(("tokens", "expected"), [(20, True), (32, True), (60, False)])
def test_context_a_copy_has_only_the_last_sliding_window(
    tmp_path: Path, native_log: NativeLog, tokens: int, expected: bool
) -> None:
    path = write_sliding_model(tmp_path / "tiny.gguf")
    spec = ModelSpec(path, context_tokens=256, threads=1)
    model = Model(spec, native_log)
    context = Context(model, spec, native_log, slots=2, context_tokens=256)
    context.decode([Chunk(0, 0, list(range(1, tokens + 1)), wants_logits=False)])
    assert context.can_truncate(0, 10), "the cache has all tokens"
    assert context.load_state(1, context.copy_state(0))
    assert context.can_truncate_copy(tokens) == expected
    assert context.can_truncate(1, 10) == context.truncate(1, 10) == expected
    context.close()
    model.close()
