from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.protocol import Event, ProtocolError, UnknownEvent, Verifier, verify
from koel_tui.protocol.events.event_types import run_error
from tests.hostile_summary import Tally
from tests.protocol.streams import Source, event, kinds, read

_RUN = {"threadId": "t", "runId": "r"}
STARTED = event("RUN_STARTED", **_RUN)
FINISHED = event("RUN_FINISHED", **_RUN)
FAILED = event("RUN_ERROR", message="broken")
CUSTOM = event("CUSTOM", name="n", value=1)


def text(step: str, name: str = "a") -> Event:
    return event(f"TEXT_MESSAGE_{step}", messageId=name, delta="x")


def call(step: str, name: str = "a") -> Event:
    return event(f"TOOL_CALL_{step}", toolCallId=name, toolCallName="find", delta="x")


def thought(step: str, name: str = "a") -> Event:
    return event(f"REASONING_MESSAGE_{step}", messageId=name, delta="x", role="reasoning")


def step(step: str, name: str = "a") -> Event:
    return event(f"STEP_{step}", stepName=name)


def verified(*events: Event) -> list[Event]:
    verifier = Verifier()
    return [each for given in events for each in verifier.feed(given)] + list(verifier.finish())


def assert_broken_by_the_last(*events: Event, kind: str | None = None) -> None:
    """Check that only the last event violates the order and is replaced by one RUN_ERROR."""
    result = verified(*events, CUSTOM, STARTED)
    assert result[:-1] == list(events[:-1])
    error = run_error(result[-1])  # type: ignore[arg-type]  # checked there
    assert isinstance(error, ProtocolError)
    assert (error.code, error.event_type) == ("malformed", kind or kinds(events[-1:])[0])


def test_session_case_17_an_orphan_tool_call_end_is_a_violation() -> None:
    assert_broken_by_the_last(STARTED, call("END"), kind="TOOL_CALL_END")


def test_session_case_18_a_run_starts_with_run_started_or_is_an_error_alone() -> None:
    assert_broken_by_the_last(text("START"), kind="TEXT_MESSAGE_START")
    assert verified(FAILED) == [FAILED]
    assert_broken_by_the_last(FAILED, CUSTOM)


def test_session_case_19_a_run_starts_once_and_another_after_it_finished() -> None:
    assert_broken_by_the_last(STARTED, STARTED, kind="RUN_STARTED")
    again = [STARTED, FINISHED, STARTED, FINISHED]
    assert verified(*again) == again


@pytest.mark.parametrize(
    "opened", [text("START"), call("START"), step("STARTED"), thought("START")]
)
def test_session_case_20_a_run_finishes_with_nothing_open(opened: Event) -> None:
    assert_broken_by_the_last(STARTED, opened, FINISHED, kind="RUN_FINISHED")
    assert verified(STARTED, opened, FAILED)[-1] is FAILED


@pytest.mark.parametrize("first", [CUSTOM, FINISHED, UnknownEvent("NEW", {}), UnknownEvent("", 1)])
def test_only_run_started_or_an_error_may_come_first(first: Event) -> None:
    assert_broken_by_the_last(first)


def test_after_a_run_only_a_run_or_an_error_follows() -> None:
    assert_broken_by_the_last(STARTED, FINISHED, CUSTOM)
    assert verified(STARTED, FINISHED, FAILED)[-1] is FAILED
    assert_broken_by_the_last(STARTED, FAILED, FAILED)
    assert verified(STARTED, FAILED, STARTED, FINISHED)[-1] is FINISHED


@pytest.mark.parametrize("make", [text, call, thought])
def test_messages_and_calls_open_once_continue_and_end_once(make: Any) -> None:
    more = "ARGS" if make is call else "CONTENT"
    fine = [STARTED, make("START"), make(more), make("START", "b"), make(more), make("END")]
    assert verified(*fine)[:-1] == fine
    for last in (make("END"), make(more), make("START", "b"), make(more, "nobody")):
        assert_broken_by_the_last(*fine, last)
    assert verified(*fine, make("START"))[-2] == make("START")


def test_steps_nest_and_end_once() -> None:
    fine = [STARTED, step("STARTED"), step("STARTED", "b"), step("FINISHED")]
    assert verified(*fine)[:-1] == fine
    assert_broken_by_the_last(*fine, step("FINISHED"))
    assert_broken_by_the_last(*fine, step("STARTED", "b"))


def test_a_new_run_may_use_ids_again() -> None:
    run = [STARTED, text("START"), call("START"), step("STARTED"), FAILED]
    assert verified(*run, *run) == [*run, *run]


def test_families_do_not_share_ids() -> None:
    fine = [STARTED, text("START"), call("START"), thought("START"), step("STARTED")]
    ends = [step("FINISHED"), thought("END"), call("END"), text("END"), FINISHED]
    assert verified(*fine, *ends) == [*fine, *ends]


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([UnknownEvent("", 1)], "an event came before RUN_STARTED"),
        ([CUSTOM], "CUSTOM came before RUN_STARTED"),
        ([STARTED, STARTED], "RUN_STARTED came while a run was active"),
        ([STARTED, FAILED, CUSTOM], "CUSTOM came after RUN_ERROR"),
        ([STARTED, FINISHED, CUSTOM], "CUSTOM came after RUN_FINISHED"),
        (
            [STARTED, text("START"), text("START")],
            "TEXT_MESSAGE_START opened the message 'a', which was open already",
        ),
        (
            [STARTED, call("END")],
            "TOOL_CALL_END belongs to the tool call 'a', which is not open",
        ),
        (
            [STARTED, thought("CONTENT")],
            "REASONING_MESSAGE_CONTENT belongs to the reasoning message 'a', which is not open",
        ),
        (
            [STARTED, step("FINISHED")],
            "STEP_FINISHED belongs to the step 'a', which is not open",
        ),
        (
            [STARTED, step("STARTED"), text("START", "c"), text("START", "b"), FINISHED],
            "RUN_FINISHED came while the message 'b' was open",
        ),
    ],
)
def test_the_error_of_a_violation_describes_it(events: list[Event], what: str) -> None:
    error = run_error(verified(*events)[-1])  # type: ignore[arg-type]  # it is one
    assert error.message == (
        f"The agent broke the order of events: {what}. The text before it is kept. Try again, or "
        "report it to the agent's developer."
    )


def test_a_stream_that_ended_early_yields_one_error_and_no_more_events() -> None:
    verifier = Verifier()
    verifier.feed(STARTED)
    (ending,) = verifier.finish()
    assert run_error(ending).message == (  # type: ignore[arg-type]  # it is one
        "The agent stopped before its answer was complete. The partial answer is kept. "
        "Send again to continue."
    )
    assert verifier.broken
    assert verifier.feed(STARTED) == verifier.finish() == ()


@pytest.mark.parametrize("events", [[], [STARTED], [STARTED, text("START")], [FINISHED]])
def test_a_stream_that_ends_early_is_an_interrupted_run(events: list[Event]) -> None:
    result = verified(*events)
    error = run_error(result[-1])  # type: ignore[arg-type]  # checked there
    assert isinstance(error, ProtocolError)
    assert error.code == ("malformed" if events == [FINISHED] else "closed")
    assert kinds(result).count("RUN_ERROR") == 1


async def test_a_stream_is_read_until_its_first_violation_and_closed() -> None:
    source = Source([STARTED, call("END"), STARTED])
    result = await read(verify(source))
    assert kinds(result) == ["RUN_STARTED", "RUN_ERROR"]
    assert source.closed
    assert await anext(source) is STARTED


async def test_a_stream_that_ends_early_gets_one_error() -> None:
    assert kinds(await read(verify(Source([STARTED])))) == ["RUN_STARTED", "RUN_ERROR"]
    assert await read(verify(Source([STARTED, FINISHED]))) == [STARTED, FINISHED]


async def test_a_stream_that_is_cancelled_gets_no_error_and_is_closed() -> None:
    source = Source([STARTED, CUSTOM])
    stream = verify(source)
    assert await anext(stream) is STARTED
    await stream.aclose()
    assert source.closed
    assert await read(stream) == []


_events = st.sampled_from(
    [STARTED, FINISHED, FAILED, CUSTOM, UnknownEvent("NEW", None)]
    + [text(part, name) for part in ("START", "CONTENT", "END") for name in "ab"]
    + [call(part, name) for part in ("START", "ARGS", "END") for name in "ab"]
    + [thought(part, name) for part in ("START", "CONTENT", "END") for name in "ab"]
    + [step(part, name) for part in ("STARTED", "FINISHED") for name in "ab"]
)
_runs = st.lists(_events, max_size=8).map(lambda inner: [STARTED, *inner, FINISHED])
_streams = st.lists(_events, max_size=12) | st.lists(_runs, max_size=3).map(
    lambda runs: [each for run in runs for each in run]
)


def _first_violation(kinds_and_ids: list[tuple[str, str]]) -> int | None:
    """The reference: checks each event against all earlier events instead of a state."""
    for index, (kind, name) in enumerate(kinds_and_ids):
        before = kinds_and_ids[:index]
        runs = [i for i, (earlier, _) in enumerate(before) if earlier.startswith("RUN_")]
        last = before[runs[-1]][0] if runs else None
        this_run = before[runs[-1] + 1 :] if runs else []
        counts: dict[tuple[str, str], int] = {}
        for earlier, of in this_run:
            family, _, part = earlier.rpartition("_")
            change = {"START": 1, "STARTED": 1, "END": -1, "FINISHED": -1}.get(part, 0)
            counts[family, of] = counts.get((family, of), 0) + change
        family, _, part = kind.rpartition("_")
        is_open = counts.get((family, name), 0) == 1
        if kind == "RUN_STARTED":
            fine = last != "RUN_STARTED"
        elif last == "RUN_ERROR":
            fine = False
        elif kind == "RUN_ERROR":
            fine = True
        elif last != "RUN_STARTED":
            fine = False
        elif kind == "RUN_FINISHED":
            fine = not any(counts.values())
        elif part in ("START", "STARTED"):
            fine = not is_open
        elif part in ("CONTENT", "ARGS", "END", "FINISHED"):
            fine = is_open
        else:
            fine = True
        if not fine:
            return index
    return None


def _name(each: Event) -> str:
    names = ("message_id", "tool_call_id", "step_name")
    return next((getattr(each, name) for name in names if hasattr(each, name)), "")


def test_verify_agrees_with_a_second_checker_on_arbitrary_streams(tally: Tally) -> None:
    tried = []

    @settings(max_examples=2000)
    @given(_streams)
    def agrees(events: list[Event]) -> None:
        tried.append(events)
        _check_against_the_rules(events)

    agrees()
    tally("event stream", tried=len(tried))


def _check_against_the_rules(events: list[Event]) -> None:
    at = _first_violation(list(zip(kinds(events), map(_name, events), strict=True)))
    result = verified(*events)
    if at is not None:
        assert result[:-1] == events[:at]
        assert kinds(result[-1:]) == ["RUN_ERROR"]
        assert result[-1] is not events[at]
        return
    assert result[: len(events)] == events
    runs = [kind for kind in kinds(events) if kind.startswith("RUN_")]
    ended = bool(runs) and runs[-1] != "RUN_STARTED"
    assert kinds(result[len(events) :]) == ([] if ended else ["RUN_ERROR"])
