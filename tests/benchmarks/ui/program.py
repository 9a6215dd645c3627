"""The real window, with an agent that writes at a given pace instead of a model.

`python -m tests.benchmarks.ui.program THREADS TOKENS_PER_S [THREAD] [OPTIONS]`; THREADS is the
directory of the saved threads. `--tokens N` limits an answer, which is endless otherwise. The tabs
of the last run are restored, as in the real program.
"""

from argparse import ArgumentParser
from pathlib import Path

from koel_tui import paths
from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage
from koel_tui.ui.app.app import KoelApp
from tests.benchmarks.ui.paced import PacedAgent


def main() -> None:
    """Run the window until the user quits."""
    parser = ArgumentParser()
    parser.add_argument("threads", type=Path)
    parser.add_argument("tokens_per_s", type=float)
    parser.add_argument("thread", nargs="?")
    parser.add_argument("--low-bandwidth", action="store_true")
    parser.add_argument("--tokens", type=int)
    given = parser.parse_args()

    def connect() -> Backend:
        agent = PacedAgent(given.tokens_per_s, given.tokens)
        storage = JsonFileStorage(given.threads)
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    home, low_bandwidth = paths.state_dir(), given.low_bandwidth
    KoelApp(connect, thread=given.thread, home=home, low_bandwidth=low_bandwidth).run()


if __name__ == "__main__":
    main()
