"""A program for test_hostile: the window with a hostile agent, storage and thread."""

import asyncio
from collections.abc import AsyncIterator

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents import ModelInfo
from koel_tui.conversation.backend import Backend
from koel_tui.protocol import ChatState, Message, TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from koel_tui.ui.app.app import KoelApp
from tests.hostile import EVERYTHING, SEQUENCES
from tests.ui.scripted import ScriptedAgent


class HostileAgent(ScriptedAgent):
    """An agent that answers with every hostile sequence, whole and split at every position."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        events = super().run(input)
        turn = self.turns[-1]
        turn.think(f"thought {EVERYTHING}", *EVERYTHING)
        turn.write(f"whole {EVERYTHING}\n\n`code {EVERYTHING}`\n\n")
        for sequence in SEQUENCES:
            for place in range(1, len(sequence)):
                turn.write(sequence[:place])
                turn.write(sequence[place:])
        turn.write("\n\n| a |\n|---|\n| [/nothing] |\n\nanswered")
        turn.measure(model=f"model {EVERYTHING}", prompt_tokens=1, context_tokens=100)
        turn.call(f"tool {EVERYTHING}", f'{{"a": "{EVERYTHING}"}}', f"result {EVERYTHING}")
        if "wait" in str(turn.prompt):
            return events
        if "fail" in str(turn.prompt):
            turn.fail(f"failed {EVERYTHING} badly")
        else:
            turn.finish()
        return events

    async def load(self, progress: object = None) -> ModelInfo:
        return ModelInfo(f"model {EVERYTHING}", 8192)


class FullStorage(MemoryStorage):
    """A storage whose saves fail with a hostile error message."""

    full = False

    async def save(self, thread_id: str, state: ChatState) -> None:
        if self.full:
            raise OSError(f"disk {EVERYTHING} full")
        await super().save(thread_id, state)


def main() -> int:
    """Run the window with a thread that has a hostile title; return the exit code."""
    storage = FullStorage()

    async def fill() -> None:
        said = Message("m", "user", f"said {EVERYTHING}")
        await storage.save("hostile", ChatState(messages=(said,)))
        await storage.update_meta("hostile", title=f"title {EVERYTHING}")

    asyncio.run(fill())
    storage.full = True
    agent = HostileAgent()
    app = KoelApp(
        lambda: Backend(KoelClient(agent, storage=storage), storage, agent), thread="hostile"
    )
    app.run()
    return app.return_code or 0


if __name__ == "__main__":
    raise SystemExit(main())
