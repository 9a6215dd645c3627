"""Tests of mouse selections: the copied text has no line breaks of the screen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.geometry import Offset
from textual.selection import Selection

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown, render_rows
from tests.ui.window import Window, opened

WORDS = " ".join(f"word{number}" for number in range(30))
LONG_WORD = "x" * 100


async def copied(source: str, selection: Selection | None = None, width: int = 40) -> str:
    widget = RenderedMarkdown(source, await render_rows(source, width), width)
    return widget.get_selection(selection or Selection(None, None))[0]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (WORDS, WORDS),
        (f"{WORDS}\n\n{WORDS}", f"{WORDS}\n\n{WORDS}"),
        (LONG_WORD, LONG_WORD),
        ("漢字" * 50, "漢字" * 50),
        (f"**{WORDS}**", WORDS),
        (f"{WORDS}  \nnext", f"{WORDS}\nnext"),
    ],
)
async def test_report_38_a_wrapped_paragraph_is_copied_as_one_line(source: str, text: str) -> None:
    assert await copied(source) == text


async def test_report_38_items_of_a_list_stay_lines_without_indents() -> None:
    lines = (await copied(f"- {WORDS}\n- {WORDS}\n- b")).strip().split("\n")
    assert [line.strip(" •") for line in lines] == [WORDS, WORDS, "b"]


async def test_report_38_rows_have_no_padding() -> None:
    text = await copied(f"{WORDS}\n\n```\na\nb\n```\n\nlast")
    assert all(line == line.rstrip() for line in text.split("\n"))


CODE = "def f(x):\n    if x:  # " + "long " * 20 + "end\n\n        return  'a  b'\n\nlast = 1"


@pytest.mark.parametrize("width", [12, 40, 200])
@pytest.mark.parametrize(
    "code",
    [
        CODE,
        "x" * 200,
        "a" + " " * 50 + "b",
        "\tif x:\n\t\ty = 1\tz\n" + "\tw" * 30,
        "漢字 " * 40 + "end",
    ],
)
async def test_report_38_code_is_copied_as_written(code: str, width: int) -> None:
    for lexer in ("python", "", "makefile"):
        assert await copied(f"```{lexer}\n{code}\n```", width=width) == code
    indented = "\n".join(f"    {line}" if line else "" for line in code.split("\n"))
    assert await copied(f"text\n\n{indented}", width=width) == f"text\n\n{code}"
    listed = "\n".join(f"  {line}" if line else "" for line in f"```\n{code}\n```".split("\n"))
    assert (await copied(f"- a\n\n{listed}", width=width)).endswith(f"• a\n\n{code}")
    quoted = "\n".join(f"> {line}" for line in f"```\n{code}\n```".split("\n"))
    lines = (await copied(quoted, width=width)).split("\n")
    assert lines == code.split("\n")


code_lines = st.lists(
    st.text(st.sampled_from("abc    \t漢é(#'"), max_size=60),
    min_size=1,
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(code_lines, st.integers(6, 60))
def test_report_38_any_code_is_copied_as_written(lines: list[str], width: int) -> None:
    code = "\n".join(["begin", *lines, "end"])
    assert asyncio.run(copied(f"```python\n{code}\n```", width=width)) == code


async def test_report_38_a_part_of_a_line_of_code_is_copied() -> None:
    text = await copied(
        "```\n" + "0123456789" * 20 + "\n```", Selection(Offset(5, 2), Offset(3, 4))
    )
    assert text in "0123456789" * 20 and "\n" not in text and text.startswith("23")


@pytest.mark.parametrize("level", range(1, 7))
async def test_report_38_a_heading_is_copied_as_one_line(level: int) -> None:
    assert await copied(f"{'#' * level} {WORDS}\n\n{WORDS}") == f"{WORDS}\n\n{WORDS}"


async def test_report_38_a_table_is_copied_with_tabs_between_its_cells() -> None:
    source = f"| a | {WORDS} | c |\n|---|:-:|--:|\n| {LONG_WORD} | {WORDS} | 3 |\n| x | | z |"
    assert (await copied(source)).split("\n") == [
        f"a\t{WORDS}\tc",
        f"{LONG_WORD}\t{WORDS}\t3",
        "x\t\tz",
    ]


async def test_report_38_all_blocks_are_copied_with_one_empty_line_between_them() -> None:
    source = "# Title\n\ntext\n\n```\na\n\n\nb\n```\n\n---\n\n| h |\n|---|\n| 1 |\n\n1. one\n2. two"
    assert await copied(source) == ("Title\n\ntext\n\na\n\n\nb\n\n---\n\nh\n1\n\n 1 one\n 2 two")


async def test_long_words_of_a_table_stay_visible() -> None:
    widget = RenderedMarkdown(
        "", await render_rows(f"| {LONG_WORD} | b |\n|---|---|\n| {LONG_WORD} | c |", 40), 40
    )
    assert widget.text.count("x") == 200 and "…" not in widget.text


async def drag(window: Window, begin: str, end: str) -> None:
    """Select with the mouse from one word on the screen to another."""
    rows = window.lines
    first = max(n for n, line in enumerate(rows) if begin in line)
    last = max(n for n, line in enumerate(rows) if end in line)
    await window.pilot.mouse_down(offset=(rows[first].index(begin), first))
    await window.pilot.hover(offset=(rows[last].index(end) + len(end), last))
    await window.pilot.mouse_up(offset=(rows[last].index(end) + len(end), last))
    await window.handled()


@asynccontextmanager
async def answered(answer: str) -> AsyncIterator[Window]:
    storage = MemoryStorage()
    said = (Message("u", "user", "Go."), Message("a", "assistant", answer))
    await storage.save("t", ChatState(messages=said))
    async with opened(storage=storage, thread="t") as window:
        yield window


@pytest.mark.parametrize(
    ("answer", "begin", "end", "text"),
    [
        (f"```python\nfirst = 1\n\n\tx = '{LONG_WORD}'\nlast = 2\n```", "first", "last = 2",
         f"first = 1\n\n\tx = '{LONG_WORD}'\nlast = 2"),
        (f"# first {WORDS}", "first", "word29", f"first {WORDS}"),
        ("- first item\n- second\n\n1. third", "first", "third",
         "first item\n• second\n1. third"),
        ("| first | b |\n|---|---|\n| c | d |\n| e | last |", "first", "last",
         "first\tb\nc\td\ne\tlast"),
    ],
)  # fmt: skip
async def test_report_38_blocks_of_an_answer_are_copied_with_the_mouse(
    answer: str, begin: str, end: str, text: str
) -> None:
    async with answered(answer) as window:
        await window.reads(end)
        await drag(window, begin, end)
        await window.press("ctrl+c")
        await window.until(lambda: bool(window.app.clipboard))
        assert window.app.clipboard == text


async def test_report_38_a_code_block_of_a_long_answer_is_copied_with_the_mouse() -> None:
    code = "first = 1\n\tx = '" + "y" * 200 + "'\nlast = 2"
    async with answered(f"{'word ' * 7000}\n\n```python\n{code}\n```") as window:
        await window.reads("alt+m")
        await window.press("alt+m")
        await window.reads("rendered as Markdown")
        await window.press("ctrl+end")
        await window.reads("first = 1")
        await drag(window, "first", "last = 2")
        await window.press("ctrl+c")
        await window.until(lambda: bool(window.app.clipboard))
        assert window.app.clipboard == code


@pytest.mark.parametrize("before", ["", "word " * 7000 + "\n"])
async def test_report_38_plain_text_is_copied_with_its_tabs(before: str) -> None:
    text = "first:\n\tx = '" + "y" * 200 + "'\n\t\tlast\tone"
    storage = MemoryStorage()
    said = Message("m", "assistant" if before else "user", before + text)
    await storage.save("t", ChatState(messages=(said,)))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("first:")
        await drag(window, "first:", "one")
        await window.press("ctrl+c")
        await window.until(lambda: bool(window.app.clipboard))
        assert window.app.clipboard == text


async def test_report_38_the_keys_copy_an_answer_and_its_code_as_written() -> None:
    code = "\tif x:\n\n\t\ty = '" + "y" * 200 + "'\n"
    answer = f"- a\n\n  text  \n\n```make\n{code}```"
    async with answered(answer) as window:
        await window.reads("text")
        await window.press("alt+c")
        await window.until(lambda: window.app.clipboard == answer)
        await window.press("alt+b")
        await window.until(lambda: window.app.clipboard == code)


async def test_report_38_a_part_of_a_paragraph_is_copied() -> None:
    text = await copied(WORDS, Selection(Offset(4, 1), Offset(5, 3)))
    assert "\n" not in text and text in WORDS
