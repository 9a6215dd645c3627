"""The rounds of one answer: a run, the calls it made and their results, a run with these."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

from ag_ui.core import (
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    ToolCallResultEvent,
)

from koel_tui.protocol import AgentError, ChatState, Event, ToolCall, calls_to_answer, error_event
from koel_tui.protocol.streams import closing
from koel_tui.session.run_input import new_id
from koel_tui.session.tools import ToolHandler, result_of

MOST_ROUNDS = 8
"""Rounds in which a model may call tools before it must answer: small models go round for ever."""

TOOLS_STEP = "tools"
"""Name of the step in which tools are executed."""


async def rounds(
    ask: Callable[[RunAgentInput], AsyncIterator[Event]],
    make_input: Callable[[], RunAgentInput],
    state: Callable[[], ChatState],
    handlers: Mapping[str, ToolHandler],
) -> AsyncGenerator[Event, None]:
    """Yield the events of an answer, those of its tools' results included.

    `state` must be folded up to each event before the next one is asked for; `make_input` gives
    the input of the next run from it. Without `handlers` there is one run. Ends after the event
    that ends the last run.
    """
    for _ in range(MOST_ROUNDS):
        ended: Event | None = None
        events = ask(make_input())
        async with closing(events):
            async for event in events:
                yield event
                if isinstance(event, RunFinishedEvent | RunErrorEvent):
                    ended = event
                    break
        if ended is None or is_last(ended, state(), handlers):
            return
        yield StepStartedEvent(step_name=TOOLS_STEP)
        for call in calls_to_answer(state()):
            yield result_event(call, await result_of(call, handlers))
        yield StepFinishedEvent(step_name=TOOLS_STEP)
    yield error_event(
        AgentError(
            f"The model called tools {MOST_ROUNDS} times in a row and did not answer. "
            "Every call has its result; send again to let it go on.",
            "tool_failed",
        )
    )


def is_last(event: Event, state: ChatState, handlers: Mapping[str, ToolHandler]) -> bool:
    """Return whether an answer is over with `event`, which `state` is folded up to."""
    if isinstance(event, RunFinishedEvent):
        return not (handlers and calls_to_answer(state))
    return isinstance(event, RunErrorEvent)


def result_event(call: ToolCall, content: str) -> ToolCallResultEvent:
    """Return the result of a call as an event."""
    return ToolCallResultEvent(
        message_id=new_id(), tool_call_id=call.id, content=content, role="tool"
    )
