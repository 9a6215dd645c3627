"""What the window talks to; made by the command line (or a test) and handed to the window."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from koel_tui.agents import ModelAgent, Snapshots
from koel_tui.protocol import TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import SessionStorage
from koel_tui.storage.search.index_updater import IndexUpkeep
from koel_tui.storage.search.thread_index import ThreadIndex


@dataclass(frozen=True, slots=True)
class Backend:
    """The sessions, where they are saved, the model that answers them, and the search index.

    `snapshots` is what is kept of the model's contexts. None is what there is not.
    `defaults` are how threads are answered that say nothing of it themselves, `titles` whether
    the model makes titles for threads that have none.
    """

    client: KoelClient
    storage: SessionStorage
    agent: ModelAgent
    upkeep: IndexUpkeep | None = None
    index: ThreadIndex | None = None
    snapshots: Snapshots | None = None
    defaults: TurnSettings = field(default_factory=TurnSettings)
    titles: bool = False

    async def close(self) -> None:
        """Save and end every session, then the model."""
        async with AsyncExitStack() as ending:  # the last first, and each whatever the others do
            ending.push_async_callback(self.agent.close)
            ending.push_async_callback(self.client.dispose)
            if self.upkeep is not None:
                ending.push_async_callback(self.upkeep.close)
            elif self.index is not None:
                ending.push_async_callback(self.index.close)
