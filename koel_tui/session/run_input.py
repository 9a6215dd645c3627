"""The inputs of runs."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ag_ui.core import Message as AgUiMessage
from ag_ui.core import RunAgentInput, Tool

from koel_tui.protocol import ChatState, echo_shown
from koel_tui.protocol.codec.json_values import plain
from koel_tui.protocol.messages import MessageConverter
from koel_tui.session.errors import InvalidStateError


def new_id() -> str:
    """Return a globally unique id for a thread, a run or a message."""
    return str(uuid.uuid4())


def state_values(thread_id: str, patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for the shared state. Raises `InvalidStateError` if they are not JSON."""
    try:
        values: dict[str, Any] = plain(dict(patch))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidStateError(thread_id, error) from error
    return values


class RunInputs:
    """Builds the inputs of the runs of one thread, at a cost that follows what is new in it."""

    def __init__(self, thread_id: str) -> None:
        self._thread_id = thread_id
        self._converter = MessageConverter()

    async def build(self, state: ChatState, tools: Sequence[Tool] = ()) -> RunAgentInput:
        """Return the input of a new run with all messages; its `forwardedProps` are empty.

        The event loop runs between the steps of the conversion. The messages of earlier turns are
        the same objects in each run. Raises `ProtocolError` as `to_ag_ui` does.
        """
        steps = self._converter.steps(state.messages, echo_shown(state))
        while True:
            try:
                next(steps)
            except StopIteration as end:
                messages: list[AgUiMessage] = end.value
                break
            await asyncio.sleep(0)
        # Without validation, because it would check every message again.
        return RunAgentInput.model_construct(
            thread_id=self._thread_id,
            run_id=new_id(),
            messages=messages,
            state=dict(state.state),
            tools=list(tools),
            context=[],
            forwarded_props={},
        )
