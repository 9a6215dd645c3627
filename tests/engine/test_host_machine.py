"""Sessions on a real runner in any order, while native calls and callers' objects raise.

An exception fails only the request that caused it, or the requests of its batch.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize
from hypothesis.stateful import run_state_machine_as_test as run_machine

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import (
    ChatMessage,
    EngineError,
    EngineSession,
    SessionBusyError,
    TurnSettings,
)
from tests.engine.host_books import Books, step
from tests.engine.host_parts import (
    ACTIONS,
    CONVERSATIONS,
    LORAS,
    POISON,
    SESSION,
    TURN_SETTINGS,
    TURNS,
    CallerError,
    Held,
    RaisingPath,
    Reading,
)
from tests.engine.host_rig import GREEDY, SHORT, rig_in

OPEN = 4
"""The maximum of open sessions of a machine; the rest of the limit is for its checks."""


class HostMachine(Books):
    """A state machine that opens, asks, stops, saves and closes sessions, with faults."""

    # Opening

    @initialize()
    def open_two(self) -> None:
        """Open two sessions."""
        for single in (True, False):
            self.opened(self.opening(0, GREEDY, 0, single), single=single)

    @step(lora=LORAS, own=TURN_SETTINGS, kv=st.integers(0, 3), single=st.booleans())
    def open(self, lora: int, own: TurnSettings, kv: int, single: bool) -> None:
        """Open a session, with a snapshot if there is one, or replace the single session."""
        if len(self.held) >= OPEN:
            return
        self.opened(self.opening(lora, own, kv, single), single=single)

    def opening(
        self, lora: int, own: TurnSettings, kv: int, single: bool
    ) -> Coroutine[Any, Any, EngineSession]:
        options: dict[str, Any] = {
            "settings": own,
            "lora": [None, self.rig.adapter, self.rig.other_adapter][lora],
            "kv": self.snapshots[-kv] if 0 < kv <= len(self.snapshots) else None,
        }
        return (self.host.create_session if single else self.host.open_session)(**options)

    def opened(self, opening: Coroutine[Any, Any, EngineSession], *, single: bool) -> None:
        hits = self.hits
        before = self.host.session
        try:
            self.held.append(Held(self.rig.do(opening)))
        except EngineError as error:
            self.judge(error, hits, None, "OpenSession")
        if single and before is not None:
            self.shut(before)

    @step(lora=LORAS, turns=TURNS, single=st.booleans())
    def open_and_leave(self, lora: int, turns: int, single: bool) -> None:
        """Cancel the caller of an opening; a single session is opened anyway."""
        if len(self.held) >= OPEN:
            return
        before, hits = self.host.session, self.hits
        opening = self.opening(lora, GREEDY, 0, single)
        result = self.leave(opening, turns, hits, "OpenSession")
        if not single:
            if result is not None:
                self.held.append(Held(result))
            return
        self.rig.do(self.host._single_session.wait())
        if before is not None and self.host.session is not before:
            self.shut(before)
        if self.host.session is not None and self.host.session is not before:
            self.held.append(Held(self.host.session))

    # Turns

    @step(
        held=SESSION,
        messages=st.sampled_from(CONVERSATIONS),
        own=TURN_SETTINGS | st.just(GREEDY),
        progress=st.booleans(),
        history=st.booleans(),
        deltas=st.integers(0, 3),
        then=ACTIONS,
    )
    def stream(
        self,
        held: Held,
        messages: tuple[ChatMessage, ...],
        own: TurnSettings,
        progress: bool,
        history: bool,
        deltas: int,
        then: str,
    ) -> None:
        """Begin to read an answer to a conversation or to the history, then do another action."""
        if history and held.session.history:
            self.begin(held, None, own, progress)
        else:
            self.begin(held, messages, own, progress)
        self.read_some(held, deltas)
        self.do(held, then, deltas)

    ask_more = stream

    @step(held=SESSION, poison=st.sampled_from(POISON))
    def stream_poison(self, held: Held, poison: Mapping[str, Any]) -> None:
        """Begin a turn with a setting that cannot be sent."""
        if held.reading is None:
            self.begin(held, SHORT, replace(GREEDY, schema=poison), False, poisoned=True)
            self.read_some(held, 1)

    def begin(
        self,
        held: Held,
        messages: tuple[ChatMessage, ...] | None,
        own: TurnSettings,
        progress: bool,
        poisoned: bool = False,
    ) -> None:
        session, reading = held.session, held.reading
        if session.generating:
            before = session.history
            with pytest.raises(SessionBusyError):
                session.stream(messages, own)
            assert session.history == before
            return
        stream = session.stream(messages, own, progress=progress)
        assert messages is None or session.history == messages
        if reading is not None and reading.task is not None and not reading.over:
            # Its task was created but has not run yet. It runs before the read below and starts
            # its turn, so the read below finds a busy session.
            with pytest.raises(SessionBusyError):
                self.rig.do(stream.__anext__())
            return
        held.reading = Reading(session, stream, own, None, poisoned, self.hits)

    @step(held=SESSION, prompt=st.sampled_from(["abc", "x" * 300]), own=TURN_SETTINGS)
    def complete_text(self, held: Held, prompt: str, own: TurnSettings) -> None:
        """Begin to read the completion of a text, which equals a turn without a chat template."""
        if held.reading is None:
            stream = held.session.complete(prompt, own)
            raw = replace(own, chat_template=RAW_COMPLETION, system="", tools=())
            asked = (ChatMessage("user", prompt),)
            held.reading = Reading(held.session, stream, raw, asked, False, self.hits)
            self.read_some(held, 1)

    def read_some(self, held: Held, deltas: int) -> None:
        """Read some deltas."""
        reading = held.reading
        if reading is not None and reading.task is None:
            for _ in range(deltas):
                self.rig.do(self.next(reading))
            self.drop_ended()

    def read_on(self, held: Held) -> None:
        """Let a task read the rest while other steps run."""
        reading = held.reading
        if reading is not None and reading.task is None:
            reading.task = self.rig.loop.create_task(self.rest(reading))

    def cancel_reader(self, held: Held, turns: int) -> None:
        """Cancel the task that reads, at once or a little later."""
        reading = held.reading
        if reading is not None:
            reading.task = reading.task or self.rig.loop.create_task(self.rest(reading))
            self.rig.pause(turns)
            reading.task.cancel()
            self.rig.do(asyncio.wait({reading.task}))
            if not reading.task.cancelled():
                reading.task.result()
            held.reading = None

    def abandon(self, held: Held, closing: bool) -> None:
        """Abandon the iterator: by `aclose`, or by dropping it outside the event loop."""
        if held.reading is not None and held.reading.task is None:
            reading, held.reading = held.reading, None
            if closing:
                self.rig.do(reading.stream.aclose())
            del reading
            self.rig.pause(1)
            assert not held.session.generating

    def stop(self, held: Held) -> None:
        """Stop the turn; its stream ends normally after at most one more delta."""
        session, reading = held.session, held.reading

        def stop() -> None:
            # A task that reads may start its turn before this call, and may read the end of the
            # turn before the test continues.
            if session.generating and reading is not None:
                reading.stopped = True
            session.stop()

        self.rig.call(stop)

    def finish(self, held: Held) -> None:
        """Read the rest."""
        reading = held.reading
        if reading is not None:
            self.complete(reading)
            self.drop_ended()

    @step(held=SESSION, action=ACTIONS, turns=TURNS)
    def act(self, held: Held, action: str, turns: int) -> None:
        """Do one action with a session, in any state of its turn."""
        self.do(held, action, turns)

    @step(held=SESSION, actions=st.lists(ACTIONS, max_size=4), turns=TURNS)
    def act_more(self, held: Held, actions: list[str], turns: int) -> None:
        """Do several actions with a session."""
        for action in actions:
            if held in self.held:
                self.do(held, action, turns)

    def do(self, held: Held, action: str, turns: int) -> None:
        match action:
            case "read":
                self.read_some(held, turns)
            case "read on":
                self.read_on(held)
            case "cancel the reader":
                self.cancel_reader(held, turns)
            case "abandon" | "aclose":
                self.abandon(held, action == "aclose")
            case "stop":
                self.stop(held)
            case "finish":
                self.finish(held)
            case "save":
                self.save(held, None)
            case "save and leave":
                self.save(held, turns)
            case "close":
                self.close(held, False, None)
            case "close and save":
                self.close(held, True, None)
            case "close, save and leave":
                self.close(held, True, turns)
            case "add":
                self.add(held, "user" if turns % 2 else "assistant")

    # Other requests

    def save(self, held: Held, turns: int | None) -> None:
        """Write a snapshot; if `turns` is given, the caller is cancelled before the end."""
        session, path, hits = held.session, self.new_snapshot(), self.hits
        saving = session.save_kv(path)
        try:
            if turns is None:
                self.rig.do(saving)
            else:
                self.leave(saving, turns, hits, "SaveKv", session)
        except EngineError as error:
            self.judge_saving(error, hits, session)

    def close(self, held: Held, saving: bool, turns: int | None) -> None:
        """Close a session, with or without a snapshot, completely or with a cancelled caller."""
        session, hits = held.session, self.hits
        closing = session.close(self.new_snapshot() if saving else None)
        try:
            if turns is None:
                self.rig.do(closing)
            else:
                task = self.rig.loop.create_task(closing)
                self.rig.pause(turns + 1)  # a task that never ran has not closed the session
                task.cancel()
                self.rig.do(self.result(task))
        except EngineError as error:
            self.judge_saving(error, hits, session)
        self.shut(session)

    @step(text=st.sampled_from(["", "abc", "<|im_end|>" * 9]), turns=st.none() | TURNS)
    def count(self, text: str, turns: int | None) -> None:
        """Count tokens."""
        counting, hits = self.host.count_tokens(text), self.hits
        if turns is not None:
            self.leave(counting, turns, hits, "CountTokens")
            return
        try:
            assert self.rig.do(counting) == len(text)  # the vocabulary has a token for each byte
        except EngineError as error:
            self.judge(error, hits, None, "CountTokens")

    def add(self, held: Held, role: str) -> None:
        """Append to the history, immediately or after the turn."""
        session = held.session
        before = len(session.history)
        session.add(ChatMessage(role, "more"))
        assert len(session.history) == before + (not session.generating)

    @step(held=SESSION)
    def raise_in_a_callback(self, held: Held) -> None:
        """Pass objects that raise when they are used; the session stays unchanged."""
        session = held.session
        for call in (session.save_kv, session.close):
            with pytest.raises(CallerError):
                self.rig.do(call(RaisingPath()))
        with pytest.raises(CallerError):
            self.rig.do(self.host.open_session(kv=RaisingPath()))
        with pytest.raises(CallerError):
            self.rig.do(self.host.create_session(lora=RaisingPath()))

    @step(turns=TURNS)
    def pause(self, turns: int) -> None:
        """Let tasks and the runner work."""
        self.rig.pause(turns)


def run(folder: Path, examples: int, steps: int, *, slots: int = 2) -> None:
    """Run machines on one host, which is closed at the end.

    With more than two slots each machine begins with a context that has not grown.
    """
    with rig_in(folder, slots) as rig:

        def machine() -> HostMachine:
            if slots > 2:
                rig.faults.disarm()
                rig.restart()
            return HostMachine(rig)

        try:
            make: Any = machine  # it is called like a class
            run_machine(
                make,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    # Shrinking a hanging example would wait for the deadline many times.
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception:
            if rig.failures:
                raise rig.failures[0] from None
            raise


def test_an_exception_fails_its_request_alone_in_any_order(tmp_path: Path) -> None:
    run(tmp_path, 30, 30)


def test_an_exception_fails_its_request_alone_while_the_context_grows(tmp_path: Path) -> None:
    run(tmp_path, 5, 30, slots=8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_exception_fails_its_request_alone_in_any_order_in_long_runs(tmp_path: Path) -> None:
    run(tmp_path, 120, 40)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_exception_fails_its_request_alone_while_the_context_grows_in_long_runs(
    tmp_path: Path,
) -> None:
    run(tmp_path, 60, 40, slots=8)
