"""A program that runs the plain mode with an agent that answers with its message as JSON.

A message that begins with "slow" is answered only after SIGUSR1; "block" blocks the event loop.
The argument is the state directory. With --late the program starts slowly.
"""

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.plain.chat import PlainChat
from koel_tui.plain.terminal import TerminalConsole
from koel_tui.session import KoelClient, keep_usage
from koel_tui.storage import MemoryStorage
from koel_tui.system.forced_exit import ForcedExit
from tests.ui.scripted import ScriptedAgent, Turn

MAX_SHOWN = 200


def answer_to(prompt: str) -> str:
    """Return the answer: the message, or its length and hash if it is long."""
    if len(prompt) <= MAX_SHOWN:
        return json.dumps(prompt)
    return f"{len(prompt)} characters {hashlib.sha256(prompt.encode()).hexdigest()[:12]}"


async def answer(agent: ScriptedAgent, go: asyncio.Event) -> None:
    answered: list[Turn] = []
    while True:
        await asyncio.sleep(0.01)
        for turn in agent.turns[len(answered) :]:
            answered.append(turn)
            prompt = str(turn.prompt)
            if prompt == "block":
                os.write(1, b"blocked")
                time.sleep(60)  # noqa: ASYNC251 - the event loop is blocked
            if prompt.startswith("slow"):
                turn.write("Begun.\n")
                await go.wait()
                go.clear()
            turn.write(answer_to(prompt))
            turn.finish()


async def run(chat: PlainChat, agent: ScriptedAgent) -> int:
    go = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    answering = asyncio.create_task(answer(agent, go))
    try:
        return await chat.run()
    finally:
        answering.cancel()


def main() -> int:
    agent, storage = ScriptedAgent(), MemoryStorage()

    def connect() -> Backend:
        if "--crash" in sys.argv:
            raise KeyboardInterrupt
        if "--late" in sys.argv:
            time.sleep(2)
        client = KoelClient(agent, storage=storage, reducers=[keep_usage])
        return Backend(client, storage, agent)

    pastes = PastePlaceholders()
    console = TerminalConsole(pastes, os.environ)
    arguments: dict[str, Any] = {"home": Path(sys.argv[1]) if len(sys.argv) > 1 else None}
    forced_exit = ForcedExit(paste_markers=console.has_paste_markers)
    chat = PlainChat(connect, console, pastes=pastes, forced_exit=forced_exit, **arguments)
    try:
        return asyncio.run(run(chat, agent))
    finally:
        console.close()


if __name__ == "__main__":
    sys.exit(main())
