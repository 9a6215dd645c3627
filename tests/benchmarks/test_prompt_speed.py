"""The time to render and tokenize a turn of a conversation much longer than the context.

Run alone: pytest -m benchmark -s tests/benchmarks/test_prompt_speed.py
"""

import logging
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from koel_tui.engine import ChatMessage, ModelSpec, Sampling
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.preparation import Preparation
from koel_tui.engine.native.worker import Worker
from koel_tui.engine.wire_messages import (
    Event,
    Load,
    Loaded,
    OpenSession,
    PrefillProgress,
    Shutdown,
    StartTurn,
    StopTurn,
    Text,
    TurnEnded,
)
from koel_tui.protocol.turn_settings import TurnSettings
from tests.benchmarks.report import line, median

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]

COUNTS = (300, 3_000, 10_000)
ROUNDS = 5
END = 2  # the model's end-of-answer token
SETTINGS = TurnSettings(
    sampling=Sampling(temperature=0, logit_bias={END: -100.0}), system="Answer in one sentence."
)
TEXT = "The quick brown fox jumps over the lazy dog, and says so to everybody whom it meets. "


def talk(count: int, name: str) -> tuple[ChatMessage, ...]:
    """Return a conversation of unique messages of about 546 characters."""
    return tuple(
        ChatMessage("user" if number % 2 == 0 else "assistant", f"{name} {number}: {TEXT * 6}")
        for number in range(count + 1)
    )


def load(path: Path) -> Load:
    return Load(ModelSpec(path, slots=2), 2, 2)


@pytest.fixture
def loaded(starter_path: Path) -> Iterator[LoadedModel]:
    with NativeLog(logging.getLogger("test")) as log:
        model = LoadedModel(load(starter_path), log, lambda _: True)
        yield model
        model.close()


def prepared_in(loaded: LoadedModel, messages: tuple[ChatMessage, ...]) -> float:
    preparation = Preparation(loaded, StartTurn(1, 1, messages, SETTINGS), "bench")
    begin = time.perf_counter()
    preparation.run()
    seconds = time.perf_counter() - begin
    assert preparation.result().trimmed_turns > 0
    return seconds * 1000


def test_a_turn_follows_the_context_and_not_the_conversation(loaded: LoadedModel) -> None:
    first: dict[int, list[float]] = {count: [] for count in COUNTS}
    next_turn: dict[int, list[float]] = {count: [] for count in COUNTS}
    prepared_in(loaded, talk(300, "warm up"))
    for number in range(ROUNDS):
        for count in COUNTS:
            messages = talk(count, f"{number} {count}")
            first[count].append(prepared_in(loaded, messages))
            new = talk(1, f"{number} {count} new")[::-1]
            next_turn[count].append(prepared_in(loaded, (*messages, *new)))
    begin = time.perf_counter()
    loaded.prompt(talk(3_000, "whole"), SETTINGS)
    whole = (time.perf_counter() - begin) * 1000
    print()
    for what, times in (("first turn", first), ("next turn", next_turn)):
        few = median(times[300])
        for count in COUNTS[1:]:
            limit = "1.5" if count == 10_000 else ""
            label = f"{what} of {count:,} messages"
            print(line(label, median(times[count]), few, "ms", "of 300", limit))
    ours = median(first[3_000])
    print(line("first turn of 3,000 messages", ours, whole, "ms", "all of them once, as in 0.1"))
    for times in (first, next_turn):
        assert median(times[10_000]) <= 1.5 * median(times[300])


class Recorder:
    """A worker on its own thread, and the time of each of its events."""

    def __init__(self, path: Path) -> None:
        self.events: list[tuple[float, Event]] = []
        self._changed = threading.Condition()
        self.worker = Worker(self._receive)
        self._thread = threading.Thread(target=self.worker.run, daemon=True)
        self._thread.start()
        self.worker.post(load(path))
        self.wait(Loaded)

    def _receive(self, event: Event) -> None:
        with self._changed:
            self.events.append((time.perf_counter(), event))
            self._changed.notify_all()

    def wait(self, kind: type[Event], turn: int | None = None) -> float:
        """Return the time of the first event of this kind, optionally of one turn."""
        found: list[float] = []

        def is_there() -> bool:
            found[:] = [
                at
                for at, event in self.events
                if isinstance(event, kind) and turn in (None, getattr(event, "turn", None))
            ]
            return bool(found)

        with self._changed:
            assert self._changed.wait_for(is_there, 60)
        return found[0]

    def longest_gap(self, turn: int, begin: float, end: float) -> float:
        """Return the longest time between two tokens of a turn, in milliseconds."""
        times = [at for at, event in self.events if isinstance(event, Text) and event.turn == turn]
        gaps = [
            (after - before) * 1000
            for before, after in pairwise(times)
            if after >= begin and before <= end
        ]
        return max(gaps, default=0.0)

    def close(self) -> None:
        self.worker.post(Shutdown())
        self._thread.join(60)


def test_a_stop_and_another_turn_do_not_wait_for_a_preparation(starter_path: Path) -> None:
    recorder = Recorder(starter_path)
    for session in (1, 2):
        recorder.worker.post(OpenSession(session, session))
    story = (ChatMessage("user", "Write a very long story about a ship and its crew."),)
    recorder.worker.post(StartTurn(1, 1, story, SETTINGS))
    recorder.wait(Text)
    time.sleep(1)  # the reference: only the writer runs
    alone = recorder.longest_gap(1, 0, time.perf_counter())
    gaps, stops, times = [], [], []
    for number in range(2, 2 + 2 * ROUNDS, 2):
        messages = talk(10_000, f"turn {number}")
        begin = time.perf_counter()
        recorder.worker.post(StartTurn(number, 2, messages, SETTINGS))
        ready = recorder.wait(PrefillProgress, number)
        recorder.worker.post(StopTurn(number))
        recorder.wait(TurnEnded, number)
        gaps.append(recorder.longest_gap(1, begin, ready))
        times.append((ready - begin) * 1000)
        messages = talk(10_000, f"turn {number + 1}")
        recorder.worker.post(StartTurn(number + 1, 2, messages, SETTINGS))
        time.sleep(0.005)  # during the preparation
        begin = time.perf_counter()
        recorder.worker.post(StopTurn(number + 1))
        stops.append((recorder.wait(TurnEnded, number + 1) - begin) * 1000)
    recorder.close()
    print()
    print(
        line("stop during a preparation", median(stops), median(times), "ms", "all of it", "100 ms")
    )
    print(line("longest gap of another turn", median(gaps), alone, "ms", "the same alone"))
    # A stop waits for the step that is being decoded.
    assert median(stops) <= max(100, 3 * alone), "a stop waits for the preparation"
