"""The token chosen under a grammar equals that of a check of the whole vocabulary."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from koel_tui.engine import ChatMessage, EngineError, ModelSpec, Sampling
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from koel_tui.engine.native.sampling.constrained_choice import Truncation
from koel_tui.engine.native.sampling.grammar import grammar_stage, schema_grammar
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.native.weights import Model

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "mood": {"enum": ["glad", "sad"]},
        "friends": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "mood", "friends"],
}
QUESTION = "Describe a sailor as JSON, or tell me a story about one."
SAMPLINGS = {
    "greedy": Sampling(temperature=0),
    "greedy with penalties": Sampling(temperature=0, repeat_penalty=1.3, presence_penalty=0.4),
    "default": Sampling(seed=3),
    "hot": Sampling(temperature=2.5, seed=4),
    "no truncation": Sampling(temperature=1.5, top_k=0, top_p=1, min_p=0, seed=5),
    "top-p alone": Sampling(top_k=0, top_p=0.9, min_p=0, seed=6),
    "min-p alone": Sampling(top_k=0, top_p=1, min_p=0.02, temperature=1.5, seed=7),
    "top-k alone": Sampling(top_k=300, top_p=1, min_p=0, temperature=1.5, seed=8),
    "xtc": Sampling(xtc_probability=0.8, xtc_threshold=0.05, temperature=1.3, seed=10),
    "top-n-sigma": Sampling(top_n_sigma=1.0, temperature=1.5, seed=11),
    "dynamic temperature": Sampling(temperature=1, dynatemp_range=0.9, seed=12),
    "dry and bias": Sampling(dry_multiplier=1.0, logit_bias={100: 3.0}, seed=13),
    "mirostat 2": Sampling(mirostat=2, seed=15),
}


@pytest.fixture(scope="module")
def context(model: Model, starter_path: Path, native_log: NativeLog) -> Iterator[Context]:
    spec = ModelSpec(starter_path, batch_tokens=256, threads=1)
    made = Context(model, spec, native_log, slots=1, context_tokens=512)
    yield made
    made.close()


@pytest.fixture(scope="module")
def prompt(model: Model) -> list[int]:
    template = ChatTemplate(model.chat_template, model=model.name, bos=model.bos, eos=model.eos)
    text = template.render([ChatMessage("user", QUESTION)]).text
    template.close()
    return model.tokenize(text, special=True, start=False)


class FullCheck:
    """The reference: llama.cpp's grammar stage checks the whole vocabulary before the chain."""

    def __init__(self, sampling: Sampling, model: Model, grammar: str) -> None:
        self._sampler = Sampler(sampling, model)
        self._stage = grammar_stage(grammar, model)
        self._size = model.vocabulary_size

    def sample(self, context: Context, row: int) -> int:
        chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        llama_cpp.llama_sampler_chain_add(chain, self._stage)
        llama_cpp.llama_sampler_chain_add(chain, self._sampler._chain)
        token = int(llama_cpp.llama_sampler_sample(chain, context.handle, row))
        llama_cpp.llama_sampler_chain_remove(chain, 1)
        llama_cpp.llama_sampler_chain_remove(chain, 0)
        llama_cpp.llama_sampler_free(chain)
        return token

    def close(self) -> None:
        llama_cpp.llama_sampler_free(self._stage)
        self._sampler.close()


def drawn(
    sampler: Sampler | FullCheck, model: Model, context: Context, prompt: list[int], most: int = 32
) -> list[int]:
    """Return up to `most` tokens that a sampler draws."""
    context.clear(0)
    answer: list[int] = []
    tokens, position = prompt, 0
    try:
        while len(answer) < most and not (answer and model.ends_answer(answer[-1])):
            (row,) = context.decode([Chunk(0, position, tokens, wants_logits=True)])
            position += len(tokens)
            tokens = [sampler.sample(context, row)]
            answer += tokens
    finally:
        sampler.close()
    return answer


@pytest.mark.parametrize("name", SAMPLINGS)
def test_the_tokens_are_those_of_a_check_of_the_whole_vocabulary(
    model: Model, context: Context, prompt: list[int], name: str
) -> None:
    sampling, grammar = SAMPLINGS[name], schema_grammar(SCHEMA)
    ours = drawn(Sampler(sampling, model, grammar), model, context, prompt)
    reference = drawn(FullCheck(sampling, model, grammar), model, context, prompt)
    assert ours == reference
    assert ours != drawn(Sampler(sampling, model), model, context, prompt, len(ours))


@pytest.mark.parametrize("name", ["greedy", "default", "min-p alone"])
def test_few_tokens_are_checked(
    model: Model,
    context: Context,
    prompt: list[int],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    sampler = Sampler(SAMPLINGS[name], model, schema_grammar(SCHEMA))
    assert sampler._constraint is not None
    stage, real = sampler._constraint._stage, llama_cpp.llama_sampler_apply
    checked: list[int] = []

    def apply(applied: Any, array: Any) -> None:
        if applied is stage:
            checked.append(array[0].size)
        real(applied, array)

    monkeypatch.setattr(llama_cpp, "llama_sampler_apply", apply)
    answer = drawn(sampler, model, context, prompt)
    assert sum(checked) < 0.15 * len(answer) * model.vocabulary_size


@pytest.mark.parametrize(
    "sampling", [Sampling(typical_p=0.6, seed=9), Sampling(mirostat=1, seed=14)]
)
def test_a_stage_that_needs_all_candidates_gets_those_that_are_allowed(
    model: Model, context: Context, prompt: list[int], sampling: Sampling
) -> None:
    """After llama.cpp's check, these stages would compute the logarithm of probabilities of 0."""
    tokens = drawn(Sampler(sampling, model, schema_grammar(SCHEMA)), model, context, prompt)
    text = b"".join(model.piece(token) for token in tokens).decode()
    assert re.match(r'\s*\{\s*"name"\s*:\s*"', text)


def test_a_grammar_that_allows_no_token_fails_and_does_not_end_the_process(
    model: Model, context: Context, prompt: list[int]
) -> None:
    """The grammar requires the NUL character, which no token contains."""
    with pytest.raises(EngineError, match=r"allows none of the tokens.*Use a simpler schema"):
        drawn(Sampler(Sampling(), model, 'root ::= "\\x00"'), model, context, prompt)


# The decision whether enough tokens were checked, without a model


def kept(logits: NDArray[np.float32], truncation: Truncation) -> set[float]:
    """Return the logits that remain after truncation, computed like llama.cpp's stages."""
    left = np.sort(logits)[::-1].astype(np.float64)
    if truncation.top_k:
        left = left[: truncation.top_k]
    shares = np.exp(left - left[0])
    if truncation.top_p < 1:
        total = np.cumsum(shares / shares.sum())
        left = left[: int(np.searchsorted(total, truncation.top_p)) + 1]
    if truncation.min_p:
        left = left[left >= left[0] + math.log(truncation.min_p)]
    return set(left.tolist())


@given(
    logits=st.lists(st.integers(-2000, 1000), min_size=2, max_size=40, unique=True),
    refused=st.sets(st.integers(0, 39)),
    threshold=st.integers(-2000, 1000),
    top_k=st.integers(0, 12),
    top_p=st.sampled_from([0.0, 0.5, 0.95, 0.999, 1.0]),
    min_p=st.sampled_from([0.0, 0.01, 0.05, 0.5, 1.0]),
)
def test_a_decision_without_all_tokens_keeps_what_all_tokens_give(
    logits: list[int],
    refused: set[int],
    threshold: int,
    top_k: int,
    top_p: float,
    min_p: float,
) -> None:
    truncation = Truncation(top_k, top_p, min_p)
    values = (np.array(logits) / 100).astype(np.float32)
    is_allowed = np.array([index not in refused for index in range(len(values))])
    limit = threshold / 100
    checked = values[is_allowed & (values >= limit)]
    if not truncation.is_decided(checked, values, limit):
        return
    assert kept(checked, truncation) == kept(values[is_allowed], truncation)


def test_a_truncation_that_depends_on_all_tokens_needs_all_of_them() -> None:
    values = np.array([5.0, 4.0, -30.0], np.float32)
    for truncation in (Truncation(), Truncation(2, 0.9, 0.1, depends_on_all=True)):
        assert not truncation.is_decided(values[:2], values, -3.0)
        assert truncation.is_decided(values, values, -math.inf)
    assert Truncation(top_k=2).is_decided(values[:2], values, -3.0)
    assert Truncation(top_p=0.5).is_decided(values[:1], values, 4.5)
    assert not Truncation(top_p=0.9).is_decided(values[:1], values, 4.5)
    assert Truncation(min_p=0.01).is_decided(values[:2], values, -3.0)
    assert not Truncation(min_p=1e-4).is_decided(values[:2], values, -3.0)
