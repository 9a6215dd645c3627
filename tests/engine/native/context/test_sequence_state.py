"""Loading a state into a context with another number of slots, and decoding from it."""

import ctypes
import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import llama_cpp
import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.context.host_buffer import host_buffer
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.sequence_state import (
    SequenceState,
    StateLayout,
    find_layout,
)
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model
from tests.engine.tiny_models import (
    write_granite_hybrid_model,
    write_lfm2_model,
    write_recurrent_model,
    write_sliding_model,
)

WRITERS = {
    "mamba": write_recurrent_model,
    "lfm2": write_lfm2_model,
    "granite": write_granite_hybrid_model,
    "sliding": write_sliding_model,
}
TEXT = "The keeper wrote down every ship that passed."


@pytest.fixture(scope="module", params=[*WRITERS, "starter"])
def tiny_model(
    request: pytest.FixtureRequest, starter_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Model]:
    path = starter_path
    if request.param != "starter":
        path = WRITERS[request.param](tmp_path_factory.mktemp("tiny") / "tiny.gguf")
    with (
        NativeLog(logging.getLogger("test")) as log,
        closing(Model(ModelSpec(path, threads=1), log)) as model,
    ):
        yield model


def context_of(model: Model, slots: int) -> Context:
    spec = ModelSpec(Path("any.gguf"), batch_tokens=64, threads=1)
    return Context(model, spec, NativeLog(logging.getLogger("test")), slots, 256)


def next_logits(model: Model, context: Context, sequence: int, tokens: list[int]) -> list[float]:
    """Decode the last of these tokens; return its logits."""
    chunk = Chunk(sequence, len(tokens) - 1, tokens[-1:], wants_logits=True)
    (row,) = context.decode([chunk])
    pointer = llama_cpp.llama_get_logits_ith(context.handle, row)
    kind = ctypes.POINTER(ctypes.c_float * model.vocabulary_size)
    return list(ctypes.cast(pointer, kind).contents)


@pytest.mark.parametrize(
    ("slots", "sequence", "other_slots", "other_sequence"),
    [(1, 0, 2, 1), (2, 0, 4, 3), (2, 1, 4, 0), (4, 3, 8, 5), (8, 5, 1, 0), (3, 1, 2, 0)],
)
def test_a_state_continues_in_a_context_with_other_slots(
    tiny_model: Model, slots: int, sequence: int, other_slots: int, other_sequence: int
) -> None:
    tokens = tiny_model.tokenize(TEXT, special=False, start=True)
    with ExitStack() as stack:
        context = stack.enter_context(closing(context_of(tiny_model, slots)))
        other = stack.enter_context(closing(context_of(tiny_model, other_slots)))
        for each in range(slots):  # the other sequences contain other tokens
            held = tokens[:-1] if each == sequence else tokens[5:12]
            context.decode([Chunk(each, 0, held, wants_logits=False)])
        state = context.copy_state(sequence)
        whole = bytes(state.data)
        assert other.load_state(other_sequence, state)
        assert bytes(state.data) == whole, "the copy itself was changed"
        expected = next_logits(tiny_model, context, sequence, tokens)
        assert next_logits(tiny_model, other, other_sequence, tokens) == expected
        again = other.copy_state(other_sequence)
        assert len(again) != len(state) or tiny_model.is_recurrent
        assert context.load_state(sequence, again), "it does not return"
        more = [*tokens, tokens[3]]
        expected = next_logits(tiny_model, context, sequence, more)
        assert next_logits(tiny_model, other, other_sequence, more) == expected


def test_a_state_without_tokens_fits_every_context(tiny_model: Model) -> None:
    tokens = tiny_model.tokenize(TEXT, special=False, start=True)
    with closing(context_of(tiny_model, 2)) as one, closing(context_of(tiny_model, 4)) as other:
        other.load_state(3, one.copy_state(1))
        other.decode([Chunk(3, 0, tokens, wants_logits=True)])


@pytest.mark.parametrize("streams", [1, 2, 9])
def test_a_layout_that_is_not_known_is_left_alone(streams: int) -> None:
    part = 4 * (1 + streams)
    assert find_layout(8 + part, 8 + part, streams, is_hybrid=False) is StateLayout.ONE
    assert find_layout(8 + 2 * part, 8 + part, streams, is_hybrid=False) is StateLayout.WINDOW
    assert find_layout(8 + part + 20, 28, streams, is_hybrid=True) is StateLayout.HYBRID
    for size, tail, is_hybrid in [
        (8 + 2 * part, 8 + 2 * part, False),
        (8 + 3 * part, 8 + part, False),
        (8 + 2 * part + 20, 28, True),
        (8 + 2 * part + 20, 8 + 2 * part + 20, True),
    ]:
        assert find_layout(size, tail, streams, is_hybrid=is_hybrid) is StateLayout.NONE


@pytest.mark.parametrize("layout", list(StateLayout))
@pytest.mark.parametrize("size", [16, 20, 100])
@pytest.mark.parametrize("tail", [0, 12])
def test_damaged_bytes_are_returned_as_they_are(layout: StateLayout, size: int, tail: int) -> None:
    for word in (0, 3, 257, 2**32 - 1):
        data = host_buffer(size)
        data[8:] = (word.to_bytes(4, "little") * size)[: size - 8]
        state = SequenceState(data, min(tail, size - 8))
        converted = state.with_streams(2, layout)
        assert converted is state or len(converted) > 0
