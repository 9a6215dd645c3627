"""Ids and titles of any text: every file is in its directory, and each id has its own file."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.storage import JsonFileStorage
from koel_tui.storage.interchange import file_name
from tests.hostile import EVERYTHING
from tests.hostile_summary import Tally
from tests.storage.helpers import saying

COUNTS = [pytest.param(100, id="100"), pytest.param(1000, id="1000", marks=pytest.mark.slow)]
NAMES = (
    "", ".", "..", "../../x", "/etc/passwd", "a/b", "a\\b", "C:\\x", "con", "CON.json", "nul",
    "COM1", "a.", "a ", " a", "-rf", "--help", "~", "~root", "$HOME", "$(id)", "`id`", "a\0b",
    "a\nb", "x" * 300, "😀" * 80, "é", "e\u0301", "A", "a", "\ud800", "\u202egpj.exe", EVERYTHING,
    "t-0123456789abcdef0123456789abcdef", ".t-x.tmp", "thread.json", "keys.json",
)  # fmt: skip
"""Names that are paths, options or devices, or that are equal on some file systems."""


def text() -> st.SearchStrategy[str]:
    """A strategy for any text, with surrogates, and often with characters of paths."""
    parts = st.sampled_from(["/", "..", "\\", "\0", ".", "-", "~", " ", "\ud800", "é", "A", "a"])
    return st.text(st.characters(codec=None), max_size=40) | st.lists(parts, max_size=9).map(
        "".join
    )


def test_every_hostile_id_has_its_own_file_in_the_directory(tmp_path: Path, tally: Tally) -> None:
    directory = tmp_path / "threads"

    async def keep() -> None:
        storage = JsonFileStorage(directory)
        for name in NAMES:
            await storage.save(name, saying(name))
        again = JsonFileStorage(directory)
        assert set(await again.list_threads()) == set(NAMES)
        for name in NAMES:
            assert await again.load(name) == saying(name)

    asyncio.run(keep())
    files = [each for each in directory.iterdir() if each.suffix == ".json"]
    assert len(files) == len(NAMES) and len({each.name.casefold() for each in files}) == len(files)
    assert {each.name for each in tmp_path.iterdir()} <= {"threads", "home"}
    tally("hostile name", tried=len(NAMES))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.timeout(600)
def test_any_text_can_be_an_id(count: int, tmp_path: Path, tally: Tally) -> None:
    tried: list[str] = []
    directory = tmp_path / "threads"
    storage = JsonFileStorage(directory)
    loop = asyncio.new_event_loop()

    @settings(max_examples=count)
    @given(text())
    def check(name: str) -> None:
        loop.run_until_complete(storage.save(name, saying(name)))
        assert loop.run_until_complete(storage.load(name)) == saying(name)
        tried.append(name)

    check()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert len([each for each in directory.iterdir() if each.suffix == ".json"]) == len(set(tried))
    assert {each.name for each in tmp_path.iterdir()} <= {"threads", "home"}
    tally("hostile name", tried=len(tried))


@pytest.mark.parametrize("count", COUNTS)
def test_any_title_gives_a_safe_file_name(count: int, tmp_path: Path, tally: Tally) -> None:
    tried: list[str] = []

    @settings(max_examples=count)
    @given(text() | st.sampled_from(NAMES))
    def check(title: str) -> None:
        for suffix in (".md", "-1.py"):
            name = file_name(title, suffix)
            path = tmp_path / name
            assert path.parent == tmp_path and Path(os.path.normpath(path)) == path
            assert name.isprintable() and not name.startswith((".", "-", " ", "~"))
            assert name.endswith(suffix) and len(name.encode()) < 200
            assert name.partition(".")[0].strip().casefold() not in ("con", "nul", "com1")
            path.write_text("x")
            path.unlink()
        tried.append(title)

    check()
    tally("hostile name", tried=len(tried))
