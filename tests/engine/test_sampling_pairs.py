"""Every sampling option alone, its extremes, and all pairs, with the real model in the runner."""

from collections.abc import AsyncIterator
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
    TurnSettings,
)
from koel_tui.engine.native.weights import Model
from koel_tui.engine.runner.process_transport import ProcessTransport
from koel_tui.protocol.turn_settings import RANGES
from tests.engine.pairs import covering_rows

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUESTION = (ChatMessage("user", "Repeat: red red red blue blue blue. Then go on."),)
TOKENS = 4
USUAL = Sampling(
    temperature=1.3, top_k=5, top_p=0.5, min_p=0.2, seed=7, repeat_penalty=1.2, repeat_last_n=16,
    frequency_penalty=0.5, presence_penalty=0.5, typical_p=0.7, top_n_sigma=1.0,
    xtc_probability=0.5, xtc_threshold=0.2, dry_multiplier=0.8, dry_base=2.0,
    dry_allowed_length=1, dry_penalty_last_n=32, dynatemp_range=0.3, dynatemp_exponent=2.0,
    mirostat=1, mirostat_tau=3.0, mirostat_eta=0.3, logit_bias={100: 5.0},
)  # fmt: skip
SMALLEST = 1e-30
"""The smallest value for a range that excludes its start."""
BIAS: tuple[dict[int, float], ...] = ({}, {0: -100.0, 49_151: 100.0}, dict(USUAL.logit_bias))


def number(value: float, whole: bool) -> float:
    return int(value) if whole else float(value)


def values_of(name: str) -> list[Any]:
    """Return the default, both extremes and a usual value of an option, each once."""
    default = getattr(Sampling(), name)
    if name == "logit_bias":
        return list(BIAS)
    allowed = RANGES[name]
    start = SMALLEST if allowed.open_start else number(allowed.start, allowed.whole)
    found = [default, start, number(allowed.end, allowed.whole), getattr(USUAL, name)]
    return [value for index, value in enumerate(found) if value not in found[:index]]


OPTIONS = {each.name: values_of(each.name) for each in fields(Sampling)}
ALONE = [(name, value) for name, values in OPTIONS.items() for value in values]
ROWS = covering_rows(OPTIONS)
PER_TEST = 10


def pid_of(engine: EngineHost) -> int | None:
    """Return the process id of the runner."""
    link = engine._worker._transport
    assert isinstance(link, ProcessTransport)
    return link.pid


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(starter_path: Path) -> AsyncIterator[EngineHost]:
    """An engine for all turns; its runner must be the same process at the end."""
    spec = ModelSpec(starter_path, context_tokens=512, slots=2, threads=1)
    loaded = await EngineHost.load(spec, max_sessions=None)
    pid = pid_of(loaded)
    assert pid is not None
    yield loaded
    assert pid_of(loaded) == pid, "the runner died"
    await loaded.close()


async def turn(engine: EngineHost, sampling: Sampling, tokens: int = TOKENS) -> str:
    """Return the answer of a new session; check that its end reason is valid."""
    pid = pid_of(engine)
    session = await engine.open_session(max_output_tokens=tokens)
    try:
        deltas = [
            delta async for delta in session.stream(QUESTION, TurnSettings(sampling=sampling))
        ]
    finally:
        await session.close()
    assert isinstance(deltas[-1], Finished) and deltas[-1].reason in ("end", "length")
    assert deltas[-1].metrics.output_tokens <= tokens
    if sampling.seed is not None:
        assert deltas[-1].metrics.seed == sampling.seed
    assert pid_of(engine) == pid
    return "".join(each.text for each in deltas if isinstance(each, TextDelta))


async def twice(engine: EngineHost, values: dict[str, Any]) -> None:
    """Run a turn twice: equal settings with an equal seed give an equal answer."""
    sampling = Sampling(**{**values, "seed": values.get("seed", 7) or 7})
    assert await turn(engine, sampling) == await turn(engine, sampling)


async def test_the_options_of_a_new_sampler_are_tried() -> None:
    for name, values in OPTIONS.items():
        assert getattr(USUAL, name) not in (getattr(Sampling(), name), *values[:-1]), name
        assert len(values) >= 3


async def test_every_pair_of_values_is_in_a_row() -> None:
    options = {"a": [1, 2, 3], "b": [4, 5], "c": [6, 7, 8], "d": [0]}
    for rows, tried in ((covering_rows(options), options), (ROWS, OPTIONS)):
        for one, other in combinations(tried, 2):
            seen = {(repr(row[one]), repr(row[other])) for row in rows}
            wanted = {(repr(i), repr(j)) for i in tried[one] for j in tried[other]}
            assert seen == wanted
    assert len(covering_rows(options)) < 12
    assert len(ROWS) < 60


@pytest.mark.parametrize("name", OPTIONS)
async def test_an_option_alone_with_its_extremes(engine: EngineHost, name: str) -> None:
    for value in OPTIONS[name]:
        await twice(engine, {name: value})


@pytest.mark.parametrize(
    "first",
    [pytest.param(first, marks=() if first == 0 else pytest.mark.slow)
     for first in range(0, len(ROWS), PER_TEST)],
)  # fmt: skip
async def test_every_pair_of_sampling_values_gives_a_repeatable_answer(
    engine: EngineHost, first: int
) -> None:
    for row in ROWS[first : first + PER_TEST]:
        await twice(engine, row)


GREEDY = Sampling(temperature=0)
HOT: dict[str, Any] = {"temperature": 3.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 5}


@pytest.mark.parametrize(
    "only_the_best",
    [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0}, {"top_n_sigma": 1e-3}],
)
async def test_an_option_that_keeps_the_best_token_is_greedy(
    engine: EngineHost, only_the_best: dict[str, Any]
) -> None:
    best = await turn(engine, GREEDY, 8)
    assert await turn(engine, Sampling(**HOT), 8) != best
    assert await turn(engine, Sampling(**{**HOT, **only_the_best}), 8) == best


@pytest.mark.parametrize(
    "option",
    [{"repeat_penalty": 10.0}, {"frequency_penalty": 10.0}, {"presence_penalty": 10.0},
     {"dry_multiplier": 100.0, "dry_allowed_length": 0, "dry_base": 10.0}],
)  # fmt: skip
async def test_a_penalty_changes_a_greedy_answer(
    engine: EngineHost, option: dict[str, Any]
) -> None:
    assert await turn(engine, Sampling(temperature=0, **option), 12) != await turn(
        engine, GREEDY, 12
    )


@pytest.mark.parametrize(
    "option",
    [{"typical_p": 0.05}, {"xtc_probability": 1.0, "xtc_threshold": 0.0},
     {"dynatemp_range": 2.9}, {"mirostat": 1, "mirostat_tau": 0.1},
     {"mirostat": 2, "mirostat_tau": 0.1}, {"seed": 6}, {"temperature": 0.5}],
)  # fmt: skip
async def test_an_option_changes_a_drawn_answer(engine: EngineHost, option: dict[str, Any]) -> None:
    assert await turn(engine, Sampling(**{**HOT, **option}), 12) != await turn(
        engine, Sampling(**HOT), 12
    )


async def test_a_bias_forces_and_bans_a_token(engine: EngineHost, model: Model) -> None:
    """Bans the first token again and again; each time, the answer begins with another token."""
    forced = await turn(engine, Sampling(temperature=0, logit_bias={100: 100.0}), 3)
    assert forced == forced[: len(forced) // 3] * 3 and forced
    banned: dict[int, float] = {}
    firsts: list[str] = []
    for _ in range(3):
        firsts.append(await turn(engine, Sampling(temperature=0, logit_bias=banned), 1))
        (token,) = model.tokenize(firsts[-1], special=False, start=False)
        banned[token] = -100.0
    assert len(set(firsts)) == 3, "a banned token was said"
    assert await turn(engine, Sampling(temperature=0, logit_bias={101: -100.0}), 1) == firsts[0]
