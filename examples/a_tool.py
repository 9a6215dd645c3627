"""A tool: an async function that an agent calls; its result is sent back to the agent.

The agent here is ten lines of code instead of a model; any agent that speaks AG-UI can be used.
"""

import asyncio
from collections.abc import AsyncIterator

from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageChunkEvent,
    ToolCallChunkEvent,
)

from koel_tui.protocol import TurnSettings
from koel_tui.session import KoelClient, tool_handler


async def add(a: int, b: int) -> int:
    """Return the sum of two numbers."""
    return a + b


class Clerk:
    """An agent that calls a tool for its sums."""

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Call the offered tool, then answer with its result."""
        yield RunStartedEvent(thread_id=input.thread_id, run_id=input.run_id)
        last = input.messages[-1]
        if last.role == "tool":
            yield TextMessageChunkEvent(message_id="answer", delta=f"It is {last.content}.")
        else:
            for tool in input.tools or ():
                yield ToolCallChunkEvent(
                    tool_call_id="call", tool_call_name=tool.name, delta='{"a": 2, "b": 40}'
                )
        yield RunFinishedEvent(thread_id=input.thread_id, run_id=input.run_id)


async def main() -> None:
    """Send a question with the tool, and print the whole thread."""
    client = KoelClient(Clerk())
    session = client.new_session()
    await session.send("How much are 2 and 40?", tools=[tool_handler(add)])
    for message in session.state.messages:
        calls = [f"{call.name}({call.arguments})" for call in message.tool_calls]
        print(f"{message.role}: {message.content or ''}{' '.join(calls)}")
    await client.dispose()


if __name__ == "__main__":
    asyncio.run(main())
