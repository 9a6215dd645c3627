"""Steps with a draft in the worker: they can be stopped, and report the progress of the prompt."""

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import ChatMessage, ModelSpec, Sampling, TurnSettings
from koel_tui.engine.native.context.llama_context import Context, DecodeAborted
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.speculation.draft_costs import DraftCosts
from koel_tui.engine.wire_messages import (
    Load,
    OpenSession,
    PrefillProgress,
    Shutdown,
    StartTurn,
    StopTurn,
    TurnEnded,
)
from tests.engine.native.test_preparation import Events
from tests.engine.tiny_models import write_sliding_model

QUESTION = (ChatMessage("user", "one two three four five six seven\n" * 4),)
REPETITIVE = TurnSettings(
    chat_template=RAW_COMPLETION,
    sampling=Sampling(temperature=0.3, seed=0),
    max_output_tokens=150,
)


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Events:
    """A worker with a session, which drafts regardless of measured times."""
    monkeypatch.setattr(DraftCosts, "allow_draft", lambda _: True)
    path = write_sliding_model(tmp_path / "sliding.gguf")
    spec = ModelSpec(path, context_tokens=512, slots=2, threads=1)
    found = Events(Load(spec, 2, 1))
    found.worker.post(OpenSession(1, session=7))
    return found


def test_a_stop_interrupts_a_step_with_a_draft(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a step takes as long as up to 33 tokens: a minute with some models."""
    decode, drafting = Context.decode, threading.Event()

    def endless(context: Context, chunks: Sequence[Chunk]) -> list[int]:
        if not any(chunk.drafted for chunk in chunks):
            return decode(context, chunks)
        drafting.set()
        waiting = threading.Event()
        for _ in range(1000):
            if context.abort:
                raise DecodeAborted
            waiting.wait(0.01)  # a deadline, not a limit of the speed
        raise AssertionError("the step was not interrupted")

    monkeypatch.setattr(Context, "decode", endless)
    events.worker.post(StartTurn(2, 7, QUESTION, REPETITIVE))
    assert drafting.wait(30)
    events.worker.post(StopTurn(2))
    assert events.wait(TurnEnded).reason == "stopped"
    monkeypatch.setattr(Context, "decode", decode)
    events.worker.post(StartTurn(3, 7, QUESTION, REPETITIVE))
    ended = events.wait(TurnEnded)
    assert (ended.turn, ended.metrics.output_tokens) == (3, 150)
    assert ended.metrics.drafted_tokens
    events.worker.post(Shutdown())


def test_the_progress_of_a_prompt_has_no_drafted_tokens(events: Events) -> None:
    for turn in (2, 3):  # the context contains the second prompt except its last token
        events.worker.post(StartTurn(turn, 7, QUESTION, REPETITIVE))
        prompt = events.wait(TurnEnded).metrics.prompt_tokens
        progress = [each for each in events.taken(PrefillProgress) if each.turn == turn]
        assert progress and all(each.done <= each.total == prompt for each in progress)
    events.worker.post(Shutdown())


def test_a_stop_after_its_step_does_not_abort_the_next_turn(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recurrent model would lose its context if the first step of the next turn was aborted."""
    decode = Context.decode
    stopped = aborted = False

    def stopping(context: Context, chunks: Sequence[Chunk]) -> list[int]:
        nonlocal stopped, aborted
        try:
            rows = decode(context, chunks)
        except DecodeAborted:
            aborted = True
            raise
        if not stopped and any(chunk.drafted for chunk in chunks):
            stopped = True
            events.worker.post(StopTurn(2))
        return rows

    monkeypatch.setattr(Context, "decode", stopping)
    events.worker.post(StartTurn(2, 7, QUESTION, REPETITIVE))
    assert events.wait(TurnEnded).reason == "stopped"
    events.worker.post(StartTurn(3, 7, (ChatMessage("user", "eight nine ten " * 9),), REPETITIVE))
    assert events.wait(TurnEnded).turn == 3
    assert stopped and not aborted
    events.worker.post(Shutdown())
