"""Selecting text with the mouse: what is copied has no line breaks of the screen."""

import pytest
from textual.geometry import Offset
from textual.selection import Selection

from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown, render_rows

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


async def test_report_38_a_part_of_a_paragraph_is_copied() -> None:
    text = await copied(WORDS, Selection(Offset(4, 1), Offset(5, 3)))
    assert "\n" not in text and text in WORDS
