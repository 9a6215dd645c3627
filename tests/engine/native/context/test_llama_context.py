"""The context: a truncated tail that is decoded again gives the logits of a fresh context."""

import ctypes
import math
from collections.abc import Iterator
from pathlib import Path

import llama_cpp
import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.context.llama_context import Context, DecodeAborted
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model

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
