"""A background summary: it pauses when the user asks a question, and resumes afterwards."""

import asyncio
from pathlib import Path

from koel_tui.engine import ChatMessage, EngineHost, ModelSpec, TextDelta
from koel_tui.models import choose_model

TALK = "We planned a trip to Lisbon in May: four days, by train, a room near the river."


async def main(model: Path) -> None:
    """Start a summary, interrupt it for a question, then finish the summary."""
    engine = await EngineHost.load(ModelSpec(model), max_sessions=2)
    chat = await engine.open_session("chat", max_output_tokens=30)
    summary = await engine.open_session("summary", max_output_tokens=40)

    summary.add(ChatMessage("user", f"Summarise in one sentence: {TALK}"))
    async for delta in summary.stream():
        if isinstance(delta, TextDelta):
            summary.stop()  # a question arrives: the partial answer is kept, the model is free

    chat.add(ChatMessage("user", f"{TALK} Which month was it?"))
    print("chat:", await chat.respond())

    await summary.respond()  # continues the partial answer at the end of the history
    print("summary:", summary.history[-1].content)
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(choose_model(None)))
