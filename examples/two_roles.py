"""Two roles in parallel: one question, two system prompts, two simultaneous answers."""

import asyncio
from pathlib import Path

from koel_tui.engine import ChatMessage, EngineHost, EngineSession, ModelSpec, TextDelta
from koel_tui.models import choose_model

ROLES = {
    "pirate": "You are a pirate. You talk of the sea in everything you say.",
    "teacher": "You are a patient teacher. You explain with short sentences.",
}


async def main(model: Path) -> None:
    """Ask both roles the same question; `parallel` lets them answer at the same time."""
    engine = await EngineHost.load(ModelSpec(model, slots=2), max_sessions=2, parallel=2)
    sessions = [
        await engine.open_session(name, system=role, max_output_tokens=40)
        for name, role in ROLES.items()
    ]
    await asyncio.gather(*(answer(session, "What is rain?") for session in sessions))
    await engine.close()


async def answer(session: EngineSession, question: str) -> None:
    """Print the deltas of an answer as they arrive, each with the name of the role."""
    session.add(ChatMessage("user", question))
    async for delta in session.stream():
        if isinstance(delta, TextDelta):
            print(f"{session.name:>8}: {delta.text!r}")


if __name__ == "__main__":
    asyncio.run(main(choose_model(None)))
