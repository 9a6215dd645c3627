"""Each native call in the life of a session raises once: only its request fails."""

from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import pytest

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import (
    ChatMessage,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    Sampling,
    TurnSettings,
)
from tests.engine.faults import NOTHING
from tests.engine.host_parts import EVERY_TURN, NATIVE
from tests.engine.host_rig import GREEDY, SHORT, Rig, rig_in, said

LONG = (ChatMessage("user", "a long text, " * 20), ChatMessage("assistant", "yes"), *SHORT)
COUNTING = TurnSettings(sampling=Sampling(temperature=0, repeat_penalty=1.01), max_output_tokens=8)
SAVES_TIME = {"llama_state_seq_get_size_ext", "llama_state_seq_get_data_ext"}
"""If these fail, a session cannot be parked, and its next turn repeats the prefill."""
CLOSING = ["llama_sampler_free", "llama_free", "llama_model_free"]


@pytest.fixture
def rig(module_rig: Rig) -> Iterator[Rig]:
    yield module_rig
    module_rig.faults.disarm()
    for session in module_rig.host.sessions:
        module_rig.call(session.shut)


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with rig_in(tmp_path_factory.mktemp("rig")) as made:
        yield made


class Life:
    """The life of a session from opening to closing, with a list of the failed requests."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.adapters = [rig.new_adapter(f"{name}-{number}") for number in range(2)]
        self.snapshot = rig.folder / f"{name}.kv"
        self.failed: list[tuple[str, int | None]] = []
        self.open: list[EngineSession] = []

    async def attempt(self, what: str, session: EngineSession | None, work: Awaitable[Any]) -> Any:
        """Await a request; record it if it fails with an `EngineError` that is not a crash."""
        try:
            return await work
        except EngineError as error:
            assert not isinstance(error, EngineCrashedError), error
            self.failed.append((what, None if session is None else session.number))
            return None

    async def opened(self, **options: Any) -> EngineSession | None:
        session: EngineSession | None = await self.attempt(
            "OpenSession", None, self.rig.host.open_session(**options)
        )
        if session is not None:
            self.open.append(session)
        return session

    async def asked(
        self,
        session: EngineSession | None,
        messages: tuple[ChatMessage, ...],
        settings: TurnSettings = COUNTING,
    ) -> None:
        if session is not None:
            await self.attempt("turn", session, said(session, messages, settings))

    async def run(self) -> None:
        """Open, ask, save, park, restore, stop and close sessions."""
        host = self.rig.host
        first = await self.opened(lora=self.adapters[0])
        await self.asked(first, LONG)
        await self.saved(first)
        for adapter in (None, self.adapters[1]):  # two slots: the first session is parked
            await self.asked(await self.opened(lora=adapter), LONG)
        await self.asked(first, SHORT)  # restored, and truncated to the common prefix
        await self.saved(first)
        again = await self.opened(lora=self.adapters[0], kv=self.snapshot)
        await self.asked(again, SHORT)
        for session in (first, again):
            for settings in EVERY_TURN:
                await self.asked(session, SHORT, settings)
        if again is not None:
            await self.attempt("turn", again, self.stopped(again))
            await self.attempt("turn", again, self.closed(again))
        await self.attempt("CountTokens", None, host.count_tokens("abc"))

    async def saved(self, session: EngineSession | None) -> None:
        if session is not None:
            await self.attempt("SaveKv", session, session.save_kv(self.snapshot))

    async def closed(self, session: EngineSession) -> None:
        stream = session.stream(LONG, TurnSettings(max_output_tokens=200))
        await anext(stream)
        self.open.remove(session)
        await session.close()
        assert isinstance([delta async for delta in stream][-1], Finished)

    async def stopped(self, session: EngineSession) -> None:
        stream = session.stream(LONG, TurnSettings(max_output_tokens=200))
        await anext(stream)
        session.stop()
        last = [delta async for delta in stream][-1]
        assert isinstance(last, Finished) and last.reason == "stopped"


def test_every_native_call_is_among_those_that_raise(rig: Rig) -> None:
    rig.faults.arm(NOTHING)
    life = Life(rig, "all")
    rig.do(life.run())
    for session in life.open:
        rig.do(session.close())
    rig.do(rig.known_natively(set()))
    assert life.failed == []
    assert rig.faults.called() == set(NATIVE)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("function", NATIVE)
def test_a_native_call_that_raises_fails_its_request_alone(
    rig: Rig, function: str, at: int
) -> None:
    bystander = rig.do(rig.host.open_session())
    before = len(rig.faults.hits())
    rig.faults.arm(function, at)
    life = Life(rig, f"{function}-{at}")
    rig.do(life.run())
    (hit,) = rig.faults.hits()[before:]
    if life.failed:
        (work, session), *later = life.failed
        assert session in (None, *hit.sessions)
        assert work == hit.work or work == "turn"
        assert all(each == ("SaveKv", session) for each in later), "it holds nothing to save"
    assert bool(life.failed) == (function not in SAVES_TIME or hit.work != "StartTurn")
    assert rig.do(said(bystander, SHORT)) == rig.expected
    life.open.append(rig.do(rig.host.open_session(lora=life.adapters[0])))
    for each in life.open:
        expected = rig.do(rig.answer(SHORT, GREEDY, each.options.lora))
        assert rig.do(said(each, SHORT)) == expected
    rig.do(rig.check_idle())
    for each in [*life.open, bystander]:
        rig.do(each.close())
    rig.do(rig.known_natively(set()))
    assert rig.host.sessions == ()


@pytest.mark.parametrize("function", CLOSING)
def test_a_native_call_that_raises_at_the_end_leaves_no_process(
    tmp_path: Path, function: str
) -> None:
    with rig_in(tmp_path) as rig:
        session = rig.do(rig.host.open_session())
        stream = session.stream(LONG, TurnSettings(max_output_tokens=400))
        rig.do(anext(stream))
        rig.faults.arm(function)


DRAFTED = ["llama_decode", "llama_get_logits_ith", "llama_memory_seq_rm", "llama_sampler_sample"]
REPETITIVE = TurnSettings(
    chat_template=RAW_COMPLETION,
    sampling=Sampling(temperature=0.3, seed=0),
    max_output_tokens=150,
)


@pytest.mark.parametrize("function", DRAFTED)
def test_a_native_call_that_raises_fails_a_drafted_answer_alone(rig: Rig, function: str) -> None:
    session = rig.do(rig.host.open_session())
    question = (ChatMessage("user", "one two three four five\n" * 3),)
    expected = rig.do(said(session, question, REPETITIVE))
    metrics = session.metrics
    places = [2, 4]  # these calls happen even if most drafted tokens are accepted
    if function == "llama_memory_seq_rm":  # the first call is that of the prompt
        places = [0, 1] if metrics.drafted_tokens > metrics.accepted_tokens else [0]
    for at in places:
        rig.faults.arm(function, at)
        with pytest.raises(EngineError, match="The engine failed on this request"):
            rig.do(said(session, question, REPETITIVE))
        rig.faults.disarm()
        assert rig.do(said(session, question, REPETITIVE)) == expected
    assert rig.process == rig.pid
