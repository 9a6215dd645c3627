"""A thread that is saved, then loaded and continued by another client."""

import asyncio
import tempfile
from pathlib import Path

from koel_tui.agents import LocalAgent
from koel_tui.engine import EngineHost, ModelSpec, Sampling, TurnSettings
from koel_tui.models import choose_model
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage

SETTINGS = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=40)


async def main(model: Path) -> None:
    """Ask in one client, dispose it, and ask a follow-up question in another."""
    agent = LocalAgent(lambda tell: EngineHost.load(ModelSpec(model), on_progress=tell), SETTINGS)
    with tempfile.TemporaryDirectory() as directory:
        client = KoelClient(agent, storage=JsonFileStorage(directory))
        first = client.new_session("cats")
        await first.send("I have a cat called Mila.")
        await client.dispose()  # saves the thread first

        storage = JsonFileStorage(directory)
        client = KoelClient(agent, storage=storage)
        again = client.new_session("cats", await storage.load("cats"))
        await again.send("What is my cat called?")
        for message in again.state.messages:
            print(f"{message.role}: {message.content}")
        await client.dispose()
    await agent.close()


if __name__ == "__main__":
    asyncio.run(main(choose_model(None)))
