"""The batches of tokens in the memory layout that llama.cpp reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine import EngineError
from koel_tui.engine.native.context.token_batch import Chunk, TokenBatch

CAPACITY, SEQUENCES = 64, 5


@st.composite
def chunk(draw: st.DrawFn) -> Chunk:
    tokens = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=20))
    return Chunk(
        sequence=draw(st.integers(0, SEQUENCES - 1)),
        position=draw(st.integers(0, 2**20)),
        tokens=tokens,
        wants_logits=draw(st.booleans()),
        drafted=draw(st.integers(0, len(tokens) - 1)),
    )


CHUNKS = st.lists(chunk(), max_size=3)


@given(batches=st.lists(CHUNKS, min_size=1, max_size=3))
def test_batch_has_every_field_of_every_token(batches: list[list[Chunk]]) -> None:
    batch = TokenBatch(CAPACITY, SEQUENCES)
    for chunks in batches:
        rows, native = batch.fill(chunks), batch.native
        expected = [
            (token, chunk.position + offset, chunk.sequence)
            for chunk in chunks
            for offset, token in enumerate(chunk.tokens)
        ]
        assert native.n_tokens == len(expected)
        found: list[Any] = [
            (native.token[index], native.pos[index], native.seq_id[index][0])
            for index in range(native.n_tokens)
        ]
        assert found == expected
        assert all(native.n_seq_id[index] == 1 for index in range(native.n_tokens))
        marked = [index for index in range(native.n_tokens) if native.logits[index]]
        wanting = [(row, each) for row, each in zip(rows, chunks, strict=True) if row >= 0]
        assert [each for _, each in wanting] == [each for each in chunks if each.wants_logits]
        assert marked == [row + n for row, each in wanting for n in range(each.drafted + 1)]
        ends = [sum(len(each.tokens) for each in chunks[: n + 1]) - 1 for n in range(len(chunks))]
        assert rows == [
            end - each.drafted if each.wants_logits else -1
            for end, each in zip(ends, chunks, strict=True)
        ]


def test_batch_refuses_more_tokens_than_it_can_hold() -> None:
    with pytest.raises(EngineError, match="65 tokens; at most 64"):
        TokenBatch(CAPACITY, SEQUENCES).fill([Chunk(0, 0, [1] * 65, wants_logits=True)])
