"""Every sampling option with SmolLM2 in the runner process: its effect and its extremes."""

import math
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    EngineError,
    EngineHost,
    EngineSession,
    ModelSpec,
    Sampling,
    TurnSettings,
)
from koel_tui.engine.runner.process_transport import ProcessTransport
from koel_tui.protocol.turn_settings import RANGES

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = (ChatMessage("user", "Write a sentence about the sea."),)
REPEATED = (
    ChatMessage("user", "red blue green red blue green red blue green"),
    ChatMessage("assistant", "red blue green red blue green red blue"),
)
GREEDY = Sampling(temperature=0)
HOT = Sampling(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0)
"""Draws from the whole vocabulary, so that two seeds never give the same answer."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(starter_path: Path) -> AsyncIterator[EngineHost]:
    spec = ModelSpec(starter_path, context_tokens=512, slots=2, threads=1)
    loaded = await EngineHost.load(spec)
    yield loaded
    await loaded.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(host: EngineHost) -> AsyncIterator[EngineSession]:
    """A session; the same runner must be alive after the test."""
    link = host._worker._transport
    assert isinstance(link, ProcessTransport)
    before = link.pid
    opened = await host.open_session(max_output_tokens=6)
    yield opened
    await opened.close()
    assert link.pid == before and host.card is not None


async def answer(
    session: EngineSession,
    sampling: Sampling,
    messages: tuple[ChatMessage, ...] = ASKED,
    tokens: int = 6,
) -> str:
    settings = TurnSettings(sampling=sampling, max_output_tokens=tokens)
    stream = session.stream(messages, settings)
    return "".join([getattr(delta, "text", "") async for delta in stream])


AS_GREEDY = {
    "top_k": {"top_k": 1},
    "top_p": {"top_p": 0.0},
    "min_p": {"min_p": 1.0},
    "top_n_sigma": {"top_n_sigma": 1e-3},
    "temperature": {"temperature": 1e-9},
    "low temperature": {"temperature": 1e-3},
    "dynatemp_range": {"dynatemp_range": 2.0, "dynatemp_exponent": 1e6},
    "mirostat 1": {"mirostat": 1, "mirostat_tau": 0.0},
    "mirostat 2": {"mirostat": 2, "mirostat_tau": 0.0},
}


@pytest.mark.parametrize("values", AS_GREEDY.values(), ids=AS_GREEDY)
async def test_an_option_that_leaves_one_token_is_greedy(
    session: EngineSession, values: dict[str, Any]
) -> None:
    likeliest = await answer(session, GREEDY)
    assert await answer(session, replace(HOT, seed=1)) != likeliest
    for seed in (1, 2):
        assert await answer(session, replace(HOT, seed=seed, **values)) == likeliest


@pytest.mark.parametrize(
    "values",
    [
        {"xtc_probability": 1.0, "xtc_threshold": 0.0, "top_k": 3},
        {"typical_p": 0.0},
        {"dynatemp_range": 1.9, "dynatemp_exponent": 0.5},
        {"mirostat": 1, "mirostat_tau": 3.0},
        {"mirostat": 2, "mirostat_tau": 3.0},
    ],
    ids=str,
)
async def test_an_option_changes_the_answer_of_the_same_seed(
    session: EngineSession, values: dict[str, Any]
) -> None:
    plain = await answer(session, replace(HOT, seed=5))
    changed = replace(HOT, seed=5, **values)
    assert await answer(session, changed) != plain
    assert await answer(session, changed) == await answer(session, changed)


async def test_xtc_below_its_threshold_and_without_probability_changes_nothing(
    session: EngineSession,
) -> None:
    plain = Sampling(seed=5)
    expected = await answer(session, plain)
    assert await answer(session, replace(plain, xtc_probability=1.0, xtc_threshold=1.0)) == expected
    assert await answer(session, replace(plain, xtc_probability=0.0, xtc_threshold=0.0)) == expected


async def test_mirostat_replaces_the_cuts_and_its_rate_counts(session: EngineSession) -> None:
    aimed = replace(HOT, seed=3, mirostat=2, mirostat_tau=4.0)
    cut = replace(aimed, top_k=1, top_p=0.0, min_p=1.0, typical_p=0.0)
    assert await answer(session, aimed) == await answer(session, cut)
    slow, fast = (replace(aimed, mirostat_eta=eta) for eta in (0.0, 1.0))
    assert await answer(session, slow, tokens=16) != await answer(session, fast, tokens=16)


REPEATS = {
    "repeat_penalty": {"repeat_penalty": 10.0},
    "frequency_penalty": {"frequency_penalty": 10.0},
    "presence_penalty": {"presence_penalty": 10.0},
    "dry_multiplier": {"dry_multiplier": 10.0},
}


@pytest.mark.parametrize("values", REPEATS.values(), ids=REPEATS)
async def test_penalties_see_the_prompt_and_the_answer_that_is_continued(
    session: EngineSession, values: dict[str, Any]
) -> None:
    assert (await answer(session, GREEDY, REPEATED, 1)).strip() == "green"
    for last_n in (-1, 64):
        last: dict[str, Any] = {"repeat_last_n": last_n, "dry_penalty_last_n": last_n}
        penalized = replace(GREEDY, **values, **last)
        assert (await answer(session, penalized, REPEATED, 1)).strip() != "green"
    off = replace(GREEDY, **values, repeat_last_n=0, dry_penalty_last_n=0)
    assert (await answer(session, off, REPEATED, 1)).strip() == "green"


async def test_dry_counts_its_length_and_its_base(session: EngineSession) -> None:
    short = replace(GREEDY, dry_multiplier=10.0, dry_allowed_length=400)
    assert (await answer(session, short, REPEATED, 1)).strip() == "green"
    weak = replace(GREEDY, dry_multiplier=1e-3, dry_base=1.0)
    assert (await answer(session, weak, REPEATED, 1)).strip() == "green"
    strong = replace(GREEDY, dry_multiplier=1e-3, dry_base=1e6)
    assert (await answer(session, strong, REPEATED, 1)).strip() != "green"


async def test_a_bias_forces_and_forbids_tokens(session: EngineSession) -> None:
    likeliest = await answer(session, GREEDY, tokens=1)
    forced = await answer(session, replace(GREEDY, logit_bias={1000: 100.0}), tokens=3)
    assert forced and forced != likeliest and len(set(forced.split())) <= 1
    hot = replace(HOT, seed=1, logit_bias={1000: 100.0, 1001: -100.0})
    assert await answer(session, hot, tokens=3) == forced


async def test_a_bias_of_a_token_that_is_not_there_fails_its_turn_alone(
    session: EngineSession,
) -> None:
    with pytest.raises(EngineError, match=r"logit_bias names token 49152, and .* has tokens 0 to"):
        await answer(session, replace(GREEDY, logit_bias={49152: 1.0}))
    assert await answer(session, replace(GREEDY, logit_bias={49151: 1.0}))


async def test_the_random_seed_value_of_llama_cpp_gives_repeatable_answers(
    session: EngineSession,
) -> None:
    last = replace(HOT, seed=2**32 - 1)
    assert await answer(session, last) == await answer(session, last)
    assert session.metrics.seed == 2**32 - 1


@pytest.mark.parametrize("temperature", [1e-7, 1e-38, 1e-44])
async def test_a_temperature_near_0_is_greedy(session: EngineSession, temperature: float) -> None:
    """llama.cpp would divide by the temperature, and some quotients are not 32-bit floats."""
    near = replace(HOT, temperature=temperature, seed=3)
    assert await answer(session, near) == await answer(session, GREEDY)


async def test_a_dynamic_temperature_down_to_0_draws_a_certain_token(
    session: EngineSession,
) -> None:
    """If one token has all of the probability, llama.cpp would divide by the temperature 0."""
    certain = replace(HOT, logit_bias={1000: 100.0}, temperature=1.0, seed=3)
    expected = await answer(session, replace(GREEDY, logit_bias={1000: 100.0}))
    assert await answer(session, replace(certain, dynatemp_range=2.0)) == expected


async def test_temperature_0_is_greedy_with_any_other_settings(session: EngineSession) -> None:
    likeliest = await answer(session, GREEDY)
    others = replace(
        GREEDY, dynatemp_range=5.0, mirostat=2, xtc_probability=1.0, xtc_threshold=0.0,
        typical_p=0.1, top_n_sigma=1.0, top_k=3, seed=7,
    )  # fmt: skip
    assert await answer(session, others) == likeliest
    assert await answer(session, replace(others, mirostat=1, seed=8)) == likeliest


def extremes(name: str) -> list[float]:
    """Return the ends of a range, their neighbours, and values that are 0 as 32-bit floats."""
    allowed = RANGES[name]
    if allowed.whole:
        return [int(allowed.start), int(allowed.start) + 1, int(allowed.end)]
    ends = [allowed.start, allowed.end, math.nextafter(allowed.end, 0), 1e-46, 5e-324]
    return [each for each in ends if each in allowed]


BASES = {"usual": Sampling(seed=1), "greedy": GREEDY, "hot": replace(HOT, seed=1)}
FEATURES: dict[str, dict[str, Any]] = {
    "xtc_threshold": {"xtc_probability": 1.0},
    "dry_base": {"dry_multiplier": 1.0},
    "dry_allowed_length": {"dry_multiplier": 1.0},
    "dry_penalty_last_n": {"dry_multiplier": 1.0},
    "dynatemp_exponent": {"dynatemp_range": 1.0},
    "repeat_last_n": {"repeat_penalty": 1.5},
    "mirostat_tau": {"mirostat": 2},
    "mirostat_eta": {"mirostat": 1},
}
"""The other settings that an option needs to have an effect."""


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
@pytest.mark.parametrize("name", RANGES)
async def test_the_extremes_of_an_option_give_an_answer(
    session: EngineSession, name: str, base: Sampling
) -> None:
    for value in extremes(name):
        values = {**FEATURES.get(name, {}), name: value}
        assert await answer(session, base.with_values(values), REPEATED, tokens=3)
        assert session.metrics.output_tokens >= 1
