"""What the window talks to; made by the command line (or a test) and handed to the window."""

from dataclasses import dataclass

from koel_tui.agents import ModelAgent
from koel_tui.session import KoelClient
from koel_tui.storage import SessionStorage


@dataclass(frozen=True, slots=True)
class Backend:
    """The sessions, where they are saved, and the model that answers them."""

    client: KoelClient
    storage: SessionStorage
    agent: ModelAgent

    async def close(self) -> None:
        """Save and end every session, then the model."""
        try:
            await self.client.dispose()
        finally:
            await self.agent.close()
