"""Two streams; stopping one does not affect the other."""

import asyncio
from pathlib import Path

from koel_tui.engine import ChatMessage, EngineHost, EngineSession, Finished, ModelSpec, TextDelta
from koel_tui.models import choose_model


async def main(model: Path) -> None:
    """Describe a forest and a city at the same time; stop the forest after ten deltas."""
    engine = await EngineHost.load(ModelSpec(model), max_sessions=2)
    forest = await engine.open_session("Forest", max_output_tokens=60)
    city = await engine.open_session("City", max_output_tokens=60)
    await asyncio.gather(
        describe(forest, "Describe a forest at dawn.", most=10),
        describe(city, "Describe a city at night.", most=1000),
    )
    await forest.close()
    await city.close()
    await engine.close()


async def describe(session: EngineSession, prompt: str, most: int) -> None:
    """Read a stream, stop it after `most` text deltas, and print how it ended."""
    session.add(ChatMessage("user", prompt))
    pieces = []
    async for delta in session.stream():
        if isinstance(delta, TextDelta):
            pieces.append(delta.text)
            if len(pieces) == most:
                session.stop()
        elif isinstance(delta, Finished):
            print(f"{session.name} ({delta.reason}): {''.join(pieces)}")


if __name__ == "__main__":
    asyncio.run(main(choose_model(None)))
