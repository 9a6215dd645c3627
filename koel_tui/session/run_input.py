"""The input of one run."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ag_ui.core import RunAgentInput, Tool

from koel_tui.protocol import ChatState, echo_shown, to_ag_ui
from koel_tui.protocol.codec.json_values import plain
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


def run_input(thread_id: str, state: ChatState, tools: Sequence[Tool] = ()) -> RunAgentInput:
    """Return the input of a new run on a thread; its `forwardedProps` are empty."""
    return RunAgentInput(
        thread_id=thread_id,
        run_id=new_id(),
        messages=to_ag_ui(state.messages, echo_shown(state)),
        state=dict(state.state),
        tools=list(tools),
        context=[],
        forwarded_props={},
    )
