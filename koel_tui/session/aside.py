"""An answer beside all threads: asked for once, and nothing of it is kept anywhere."""

from collections.abc import Sequence

from ag_ui.core import RunErrorEvent, RunFinishedEvent, TextMessageContentEvent

from koel_tui.agents import ASIDE, Agent
from koel_tui.protocol import AgentError, Message, TurnSettings, to_ag_ui
from koel_tui.protocol.streams import closing
from koel_tui.session.interceptors import Interceptor, pipeline
from koel_tui.session.run import release
from koel_tui.session.run_input import new_id, run_input


async def answer_aside(
    agent: Agent,
    messages: Sequence[Message],
    settings: TurnSettings | None = None,
    interceptors: Sequence[Interceptor] = (),
) -> str:
    """Return the text of an answer to messages that belong to no thread.

    The events pass through the checks of any run, and through `interceptors`. Cancelling stops
    the agent. Raises `AgentError` for a failed run, and what the agent raises.
    """
    thread_id = f"{ASIDE}{new_id()}"
    asked = run_input(thread_id, to_ag_ui(messages), state={})
    pieces: list[str] = []
    events = pipeline(agent, interceptors)(asked, settings)
    try:
        async with closing(events):
            async for event in events:
                if isinstance(event, TextMessageContentEvent):
                    pieces.append(event.delta)
                elif isinstance(event, RunErrorEvent):
                    raise AgentError(event.message, event.code or "internal")
                elif isinstance(event, RunFinishedEvent):
                    break
    finally:
        await release(agent, thread_id)
    return "".join(pieces)
