"""Tests of the output sanitizer with one row of cells."""

import pyte
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from koel_tui.ui.internals.output_sanitizer import install_output_sanitizer


def column_of_border(row: str) -> int:
    """Return the column of the border in a terminal that measures emoji differently."""
    install_output_sanitizer()
    console = Console(force_terminal=True, color_system="truecolor")
    terminal = pyte.Screen(40, 2)
    pyte.Stream(terminal).feed(Strip([Segment(row, Style(bold=True))]).render(console))
    return next(column for column in range(40) if terminal.buffer[0][column].data == "│")


@pytest.mark.parametrize(
    "emoji",
    [
        "⚠\ufe0f",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "👍🏽",
        "👩\u200d💻",
        "❤\ufe0f\u200d🔥",
        "🇩🇪",
        "😀",
        "漢",
        "x",
    ],
)
def test_report_35_a_border_after_an_emoji_is_in_its_column_in_every_terminal(emoji: str) -> None:
    row = f"ab {emoji} {emoji} c"
    assert column_of_border(f"{row}│") == cell_len(row)


def test_text_without_such_emoji_is_written_as_it_is() -> None:
    install_output_sanitizer()
    row = "plain, é 漢字 😀 می\u200cخ ක්\u200dරී"
    assert Strip([Segment(row)]).render(Console()) == row
