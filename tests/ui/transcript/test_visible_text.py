"""Tests that all words of an answer are visible in the window, with alt+m and in plain mode."""

import asyncio
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.selection import Selection

from koel_tui.plain.sentence_splitter import SentenceSplitter
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown, render_rows
from tests.test_markdown_rules import WRITTEN, exported, shown
from tests.ui.window import opened

MORE = [
    "<details open>\n<summary>Title</summary>\n\n- item\n\n</details>",
    "<!--\na comment\n\nof two parts\n-->",
    "<kbd>Ctrl</kbd> and <br> and <custom-tag attr='x'> and <!DOCTYPE html> and <?php x ?>",
    "A note[^long].\n\n[^long]: the first line\nand the second",
    "[//]: # (a comment)\n\nAfter it.",
    "[a]: https://e.org 'Title'\n[b]: /path",
    "Term\n: definition",
    "==mark== H~2~O x^2^ [[wiki]] {.class} :smile: @user #tag",
    ":::note\ntext\n:::",
    "a \\\nb \\* c",
    "x < y > z && a <b and c> d",
    "2*3*4 = 24, a_b_c, __init__.py, *.md, **/*.py",
    "%% a comment %% and {{ template }} and ${variable}",
    "C# and F#, C++ -- and --- dashes",
]
EMPTY_LINKS = "[](https://one.example/a) and ![](https://two.example/b.png)"


async def rendered(text: str) -> str:
    widget = RenderedMarkdown(text, await render_rows(text, 100), 100)
    return widget.get_selection(Selection(None, None))[0]


def spoken(text: str) -> str:
    """Return the text as the plain mode prints it when it arrives by characters."""
    splitter = SentenceSplitter()
    lines = [line for char in text for line in splitter.add(char)]
    return "\n".join([*lines, *splitter.finish()])


def words(text: str) -> list[str]:
    """Return the words without the escapes and marks that Markdown removes."""
    return text.replace("\\*", "*").replace("\\#", "#").split()


@pytest.mark.parametrize("text", [*WRITTEN, *MORE])
async def test_nothing_that_is_written_disappears(text: str) -> None:
    assert spoken(text).split() == text.split()
    visible = [await rendered(text), shown(text), exported(text)]
    for view in visible:
        missing = [word for word in words(text) if word not in view and word not in "-•"]
        assert missing == [], view


async def test_nothing_that_is_written_disappears_in_the_window() -> None:
    answer = "\n\n----\n\n".join([*WRITTEN, *MORE])
    said = (Message("u", "user", "Go."), Message("a", "assistant", answer))
    storage = MemoryStorage()
    await storage.save("t", ChatState(messages=said))
    async with opened(size=(120, 300), storage=storage, thread="t") as window:
        await window.reads(words(answer)[-1])
        view = window.view
        missing = [word for word in words(answer) if word not in view]
        assert [word for word in missing if word.strip("-")] == [], view


PARTS = [
    "cat", "dog", "*", "**", "_", "~~", "`", "```\n", "\n", "\n\n", " ", "- ", "1. ", "> ", "# ",
    "|", "\n|---|---|\n", "[", "](", ")", "![", "](https://e.org)", "<b>", "</b>", "<!--", "-->",
    "&lt;", "\\", "$$", "[^1]:", "[cat]: dog", "    ", "\t", "www.cat.org",
    "https://dog.org/cat", "漢",
]  # fmt: skip


texts = st.lists(st.sampled_from(PARTS), max_size=20).map("".join)


@settings(max_examples=25, deadline=None)
@given(texts)
def test_no_word_of_a_text_disappears(text: str) -> None:
    check_words(text)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(texts)
def test_no_word_of_any_text_disappears(text: str) -> None:
    check_words(text)


def check_words(text: str) -> None:
    """Check that every view of a text contains its words."""
    views = [asyncio.run(rendered(text)), exported(text)]
    for word in ("cat", "dog", "漢"):
        for view in views:
            assert "".join(view.split()).count(word) >= _written(text).count(word), view


def _written(text: str) -> str:
    """Return the text without addresses of links and languages of code, which are not shown."""
    return re.sub(r"(?:```|~~~).*|\]\([^)]*\)", "", "".join(text.split(" ")))


async def test_a_link_without_a_text_shows_its_address() -> None:
    for view in (await rendered(EMPTY_LINKS), exported(EMPTY_LINKS)):
        assert "https://one.example/a" in view and "https://two.example/b.png" in view


async def test_tasks_are_visible_everywhere() -> None:
    text = "- [ ] open\n- [x] done\n1. [ ] third"
    for view in (await rendered(text), exported(text), spoken(text)):
        for task in ("[ ] open", "[x] done", "[ ] third"):
            assert task in view


async def test_long_words_in_a_table_of_the_window_are_visible() -> None:
    long = "x" * 90
    answer = f"| {long} | b |\n|---|---|\n| {long} | c |\n\nlast"
    storage = MemoryStorage()
    said = (Message("u", "user", "Go."), Message("a", "assistant", answer))
    await storage.save("t", ChatState(messages=said))
    async with opened(size=(60, 40), storage=storage, thread="t") as window:
        await window.reads("last")
        assert window.view.count("x") == 180 and "…" not in window.view
