"""The window as it is, with an agent that writes at a given pace instead of a model.

`python -m tests.benchmarks.ui.program THREADS TOKENS_PER_S [THREAD [--low-bandwidth]]`; THREADS is
the directory of the saved threads. The tabs of the last run come back, as ever.
"""

import sys
from pathlib import Path

from koel_tui import paths
from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage
from koel_tui.ui.app.app import KoelApp
from tests.benchmarks.ui.paced import PacedAgent


def main(threads: str, tokens_per_s: str, thread: str | None = None, *options: str) -> None:
    """Run the window until it is ended."""

    def connect() -> Backend:
        agent = PacedAgent(float(tokens_per_s))
        storage = JsonFileStorage(Path(threads))
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    low_bandwidth = "--low-bandwidth" in options
    KoelApp(connect, thread=thread, home=paths.state_dir(), low_bandwidth=low_bandwidth).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
