"""The tool loop of one answer: a run, its tool calls with their results, and the next run."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

from ag_ui.core import (
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    ToolCallResultEvent,
)

from koel_tui.protocol import AgentError, ChatState, Event, ToolCall, calls_to_answer, error_event
from koel_tui.protocol.events.streams import closing
from koel_tui.session.interceptors.chain import Extend
from koel_tui.session.run_input import new_id
from koel_tui.session.tools import ToolHandler, call_tool

MAX_ROUNDS = 8
"""Maximum number of runs that call tools before an answer; small models may loop endlessly."""

TOOLS_STEP = "tools"
"""Name of the step in which tools are executed."""


class ToolLoop:
    """The runs of one answer, each with its tool calls and their results.

    The stream is valid AG-UI: the results of a run's calls come before its RUN_FINISHED, in a step.
    They pass the interceptors like the events of the agent.
    """

    def __init__(
        self,
        ask: Callable[[RunAgentInput, Extend], AsyncIterator[Event]],
        make_input: Callable[[], Awaitable[RunAgentInput]],
        state: Callable[[], ChatState],
        handlers: Mapping[str, ToolHandler],
    ) -> None:
        """Without `handlers` there is only one run.

        `state` must be folded up to each event before the next one is requested; `make_input`
        builds the input of the next run from it.
        """
        self._ask = ask
        self._make_input = make_input
        self._state = state
        self._handlers = handlers
        self._needs_another_run = False
        self._running = False
        self.is_over = False
        """True if the last yielded event ends the answer."""

    @property
    def answers_calls(self) -> bool:
        """True if this loop answers the pending calls: it has handlers and a run is active."""
        return bool(self._handlers) and self._running

    async def events(self) -> AsyncGenerator[Event, None]:
        """Yield the events of the answer; the last one ends the last run."""
        for _ in range(MAX_ROUNDS):
            self._needs_another_run = False
            events = self._ask(await self._make_input(), self._with_results)
            async with closing(events):
                async for event in events:
                    ended = isinstance(event, RunFinishedEvent | RunErrorEvent)
                    self.is_over = ended and not self._needs_another_run
                    if not isinstance(event, RunErrorEvent):
                        self._running = not ended
                    yield event
                    if ended:
                        break
            if not self._needs_another_run:
                return
        self.is_over = True
        yield error_event(
            AgentError(
                f"The model called tools {MAX_ROUNDS} times in a row without an answer. "
                "Send again to let it continue.",
                "tool_failed",
            )
        )

    async def _with_results(self, events: AsyncIterator[Event]) -> AsyncGenerator[Event, None]:
        """Yield the events of a run, with the results of its calls before it finishes."""
        async with closing(events):
            async for event in events:
                calls = calls_to_answer(self._state()) if _is_completed(event) else ()
                if calls and self._handlers:
                    self._needs_another_run = True
                    yield StepStartedEvent(step_name=TOOLS_STEP)
                    for call in calls:
                        yield result_event(call, await call_tool(call, self._handlers))
                    yield StepFinishedEvent(step_name=TOOLS_STEP)
                yield event


def _is_completed(event: Event) -> bool:
    """Return whether the event finishes a run that was not cancelled."""
    if not isinstance(event, RunFinishedEvent):
        return False
    return event.outcome is None or event.outcome.type != "cancelled"


def result_event(call: ToolCall, content: str) -> ToolCallResultEvent:
    """Return the result of a call as an event."""
    return ToolCallResultEvent(
        message_id=new_id(), tool_call_id=call.id, content=content, role="tool"
    )
