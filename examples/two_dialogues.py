"""Two dialogues on one model: the weights are loaded once, the histories are separate."""

import asyncio
from pathlib import Path

from koel_tui.engine import ChatMessage, EngineHost, EngineSession, ModelSpec, Sampling
from koel_tui.models import choose_model


async def main(model: Path) -> None:
    """Let two users chat with the same model in turn."""
    engine = await EngineHost.load(ModelSpec(model), max_sessions=8)
    likeliest = Sampling(temperature=0)
    anna = await engine.open_session("Anna", sampling=likeliest, max_output_tokens=30)
    ben = await engine.open_session("Ben", sampling=likeliest, max_output_tokens=30)
    await say(anna, "My name is Anna and I live in Rome.")
    await say(ben, "My name is Ben and I have a dog.")
    await say(anna, "What is my name?")
    await say(ben, "What is my name?")
    await engine.close()


async def say(session: EngineSession, text: str) -> None:
    """Add a message to a dialogue and print the answer."""
    session.add(ChatMessage("user", text))
    answer = await session.respond()
    print(f"{session.name}: {text}\n  {answer}")
    print(f"  {session.metrics.reused_tokens} tokens needed no reading again")


if __name__ == "__main__":
    asyncio.run(main(choose_model(None)))
