"""The time to open a thread and a tab, compared with the minimal program. Run alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.conversation.drafts import Draft
from koel_tui.storage import JsonFileStorage
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from koel_tui.workspace.window_state import remove_state_files
from tests.benchmarks.report import line, median
from tests.benchmarks.ui.answers import history, last_text
from tests.benchmarks.ui.outside import ENTER, KOEL, Outside, module

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
ROUNDS = 7
TABS = 30
TAB_MESSAGES = 200
LONG = 500
SETTLED = 1.0
CTRL_O = "\x0f"
F2 = "\x1bOQ"
F6 = "\x1b[17~"


def mount_in_minimal(messages: int) -> float:
    """Return the seconds that the minimal program takes to show `messages` messages."""
    with Outside(module("reference", "none", 1, messages)) as program:
        program.see("Ask anything.")
        program.watch(SETTLED)
        return -program.send(F2) + program.see(last_text(messages))


@contextmanager
def saved_tabs(count: int) -> Iterator[None]:
    """Save `count` open tabs, which the next window restores."""
    tabs_file = OpenTabsFile(paths.private_directory(paths.state_dir()))
    tabs_file.open()
    kept = (OpenTab(f"t{n}", f"T{n}", Draft("")) for n in range(count))
    tabs_file.write(OpenTabs(tuple(kept), active=0))
    tabs_file.close()
    yield
    remove_state_files(paths.state_dir())


def open_long(threads: Path) -> float:
    """Return the seconds from enter in the thread list until the end of a long thread is seen."""
    remove_state_files(paths.state_dir())  # otherwise the thread is open from the start
    with Outside(module("program", threads, 1)) as program:
        program.see("Paced-1B")
        program.watch(SETTLED)
        program.send(CTRL_O)
        program.see("enter opens")
        program.watch(SETTLED)
        return -program.send(ENTER) + program.see(last_text(LONG))


def test_opening_a_long_thread(tmp_path: Path) -> None:
    asyncio.run(JsonFileStorage(tmp_path).save("long", history(LONG)))
    ours = [open_long(tmp_path) for _ in range(3)]
    print()
    print(
        line(
            f"open a thread of {LONG} messages until its end is seen",
            median(ours),
            mount_in_minimal(LONG),
            "s",
            "minimal program mounting all of them",
            "0.3 s",
        )
    )


def start() -> float:
    """Return the seconds until the title of the first tab is seen."""
    with Outside([KOEL]) as program:
        return program.see("1 T0") - program.begun


def test_starting_with_many_tabs() -> None:
    few, many = [], []
    for _ in range(ROUNDS + 1):
        with saved_tabs(1):
            few.append(start())
        with saved_tabs(TABS):
            many.append(start())
    print()
    print(
        line(
            f"start with {TABS} saved tabs",
            median(many[1:]),  # the first warms the file cache
            median(few[1:]),
            "s",
            "with one",
            "0.1 s more",
        )
    )


def test_switching_tabs() -> None:
    paths.private_directory(paths.data_dir())
    threads = paths.private_directory(paths.threads_dir())
    storage = JsonFileStorage(threads)

    async def save() -> None:
        for n in range(TABS):
            await storage.save(f"t{n}", history(TAB_MESSAGES, f"T{n}-"))

    asyncio.run(save())
    first: list[float] = []
    again: list[float] = []
    with saved_tabs(TABS), Outside(module("program", threads, 1)) as program:
        program.see(last_text(TAB_MESSAGES, "T0-"))
        program.watch(SETTLED)
        for seconds in (first, again):
            for n in (*range(1, TABS), 0):
                begin = program.send(F6)
                seconds.append(program.see(last_text(TAB_MESSAGES, f"T{n}-")) - begin)
                program.watch(0.2)
    minimal = mount_in_minimal(TAB_MESSAGES)
    against = f"minimal program mounting the {TAB_MESSAGES} messages"
    print()
    for what, values in (("", again), (" for the first time, reading it", first)):
        print(
            line(
                f"switch to a tab of {TAB_MESSAGES} messages among {TABS}{what}",
                median(values),
                minimal,
                "s",
                against,
                "0.15 s",
            )
        )
