"""Stop strings with any characters survive writing and parsing unchanged."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from koel_tui.conversation.stop_strings import format_stop_strings, parse_stop_strings
from koel_tui.text import safe_line

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ("END", ("END",)), ("a, b ,c", ("a", "b", "c")), (r"\nUser:", ("\nUser:",)),
        (r"a\,b", ("a,b",)), (r"\s", (" ",)), (r" \sx\s ", (" x ",)), (r"a b", ("a b",)),
        (r"\\n", ("\\n",)), (r"\t\r", ("\t\r",)), (r"\u00e4\U0001f600", ("ä😀",)), ("a, a", ("a",)),
        ("none", ("none",)),
    ],
)  # fmt: skip
def test_stop_strings_are_read(text: str, strings: tuple[str, ...]) -> None:
    assert parse_stop_strings(text) == strings
    assert parse_stop_strings(format_stop_strings(strings)) == strings


@pytest.mark.parametrize(
    "text", ["", " ", ",", "a,", ",a", "a\\", "a\\x", r"\u12", r"\ud800", r"\U00110000", "a, ,b"]
)
def test_invalid_stop_strings_are_refused_with_the_expected_format(text: str) -> None:
    with pytest.raises(ValueError, match="separated by commas"):
        parse_stop_strings(text)


@given(st.lists(ANY, min_size=1, unique=True).map(tuple))
@example(("  ", "a  b", " ,", "\\", "\0", "\x1b[2J", "\u202e", "\xa0", "\n"))
def test_any_strings_are_read_as_they_are_written(strings: tuple[str, ...]) -> None:
    text = format_stop_strings(strings)
    assert parse_stop_strings(text) == strings
    assert text.isprintable(), "a field of one line holds it"
    if text.isascii():
        assert safe_line(text, len(text) + 1) == text
