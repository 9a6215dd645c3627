"""Logits of Gemma 3 270M: they depend on the split of a prompt only within a tolerance.

The likeliest token is compared only if its logit leads by more than the tolerance.
"""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from numpy.typing import NDArray

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
TOLERANCE = 2.0
"""The rounding depends on the instruction sets of the processor: 0.5 to 1.3 were measured."""
LEAST_PROBABILITY = 0.01
"""Logits of less likely tokens differ more: by 2.2 in a prompt of 700 tokens."""
DAYS = "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, "
COUNT = ", ".join(map(str, range(1, 16))) + ","
LETTERS = " ".join("abcdefghijklmnopqrstuvw")
PROMPTS = (
    DAYS * 2,
    DAYS * 50,
    "The capital of France is",
    "Once upon a time there was a",
    COUNT,
    LETTERS,
)
"""The second prompt is longer than the sliding window of 512 tokens."""
SPLITS: dict[str, Callable[[list[int]], list[list[int]]]] = {
    "in the middle": lambda tokens: [tokens[: len(tokens) // 2], tokens[len(tokens) // 2 :]],
    "in chunks of 7": lambda tokens: [tokens[at : at + 7] for at in range(0, len(tokens), 7)],
    "the last 3 alone": lambda tokens: [tokens[:-3], *([each] for each in tokens[-3:])],
    "whole": lambda tokens: [tokens],
}


@pytest.fixture(scope="module")
def gemma(gemma_path: Path, native_log: NativeLog) -> Iterator[Model]:
    loaded = Model(ModelSpec(gemma_path, threads=1), native_log)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def context(gemma: Model, gemma_path: Path, native_log: NativeLog) -> Iterator[Context]:
    spec = ModelSpec(gemma_path, batch_tokens=1024, threads=1)
    made = Context(gemma, spec, native_log, slots=2, context_tokens=1024)
    yield made
    made.close()


def last_logits(
    context: Context, sequence: int, pieces: list[list[int]], size: int
) -> NDArray[np.float32]:
    """Prefill a prompt in these pieces into an empty sequence; return the logits after it."""
    context.clear(sequence)
    position = 0
    for piece in pieces:
        (row,) = context.decode([Chunk(sequence, position, piece, wants_logits=True)])
        position += len(piece)
    pointer = llama_cpp.llama_get_logits_ith(context.handle, row)
    return np.array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float * size)).contents)


def furthest(whole: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Return the largest difference of the log probabilities of tokens that may be drawn."""
    one, two = (each - np.logaddexp.reduce(each) for each in (whole, other))
    return float(np.abs(one - two)[one > np.log(LEAST_PROBABILITY)].max())


@pytest.mark.parametrize("split", SPLITS)
def test_gemma_logits_of_a_split_prompt_are_those_of_the_whole_one(
    context: Context, gemma: Model, split: str
) -> None:
    compared = 0
    for prompt in PROMPTS:
        tokens = gemma.tokenize(prompt, special=False, start=True)
        whole = last_logits(context, 0, [tokens], gemma.vocabulary_size)
        pieces = SPLITS[split](tokens)
        assert [token for piece in pieces for token in piece] == tokens
        other = last_logits(context, 1, pieces, gemma.vocabulary_size)
        assert furthest(whole, other) < TOLERANCE
        second, first = np.sort(whole)[-2:]
        if first - second > TOLERANCE:
            assert whole.argmax() == other.argmax()
            compared += 1
    assert compared, "no prompt has a likeliest token that is clear"


def test_gemma_logits_of_another_prompt_are_outside_the_tolerance(
    context: Context, gemma: Model
) -> None:
    found = [
        last_logits(
            context, 0, [gemma.tokenize(prompt, special=False, start=True)], gemma.vocabulary_size
        )
        for prompt in (DAYS, "January, February, March, ")
    ]
    assert furthest(*found) > TOLERANCE
