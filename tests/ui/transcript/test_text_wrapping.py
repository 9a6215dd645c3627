"""Tests of text wrapping: nothing is lost or too wide, and growth changes only the end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from koel_tui.text import safe_text
from koel_tui.ui.transcript.text_wrapping import WrappedLine, Wrapping

PARTS = st.sampled_from(
    ["a", "word ", "  ", "\n", "\t", "林", "é", "e\u0301", "❤️", "👩\u200d💻", "🇩🇪", "שלום", "-"]
)
TEXTS = st.lists(PARTS, max_size=60).map("".join) | st.text(max_size=60).map(safe_text)


def rows(wrapping: Wrapping, width: int) -> list[WrappedLine]:
    return [wrapping.row(index) for index in range(wrapping.count(width))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", [""]),
        ("a\n", ["a"]),
        ("a\n\nb", ["a", "", "b"]),
        ("one two three", ["one two ", "three"]),
        ("0123456789abc", ["0123456789", "abc"]),
        ("0123456789\nx", ["0123456789", "x"]),
        ("    0123456789", ["    ", "0123456789"]),
        ("a\tb", ["a       b"]),
        ("林林林林林林", ["林林林林林", "林"]),
        ("a林林林林林", ["a林林林林", "林"]),
    ],
)
def test_rows_break_at_spaces_where_there_are_any(text: str, shown: list[str]) -> None:
    assert [row.text for row in rows(Wrapping(text), 10)] == shown


@given(TEXTS, st.integers(2, 20))
def test_rows_are_the_text_and_fit(text: str, width: int) -> None:
    wrapping = Wrapping(text)
    shown = rows(wrapping, width)
    assert all(cell_len(row.text.rstrip(" ")) <= width for row in shown)
    assert "".join(row.text for row in shown) == wrapping.text.replace("\n", "")
    lines = wrapping.text.split("\n")
    assert all(lines[row.line][row.column :].startswith(row.text) for row in shown)


@given(st.lists(TEXTS, max_size=6), st.integers(1, 20))
def test_a_growing_text_is_wrapped_like_the_whole_text(texts: list[str], width: int) -> None:
    growing, text = Wrapping(""), ""
    growing.count(width)
    for more in texts:
        text += more
        growing.show(text)
        assert rows(growing, width) == rows(Wrapping(text), width)


@given(TEXTS, st.integers(1, 20), st.integers(1, 20))
def test_text_is_wrapped_again_for_another_width(text: str, first: int, then: int) -> None:
    wrapping = Wrapping(text)
    wrapping.count(first)
    assert rows(wrapping, then) == rows(Wrapping(text), then)
