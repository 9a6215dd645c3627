"""Sanitized text: repair of surrogates, and removal of control and format characters."""

import unicodedata
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.text import drop_controls, repair, safe_input, safe_line, safe_text

ANY = st.text(st.characters())  # with lone surrogates and control characters
ACUTE = "\u0301"
FLAG = "\U0001f3f4\U000e0067\U000e007f"  # a flag with invisible tag characters
BIDI = ["\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069"]


def test_two_halves_of_a_character_are_joined_and_a_lone_one_is_replaced() -> None:
    assert repair("a\ud83d\ude00b") == "a\U0001f600b"
    assert repair("a\ud83db\ude00") == "a\ufffdb\ufffd"
    assert repair("\ude00\ud83d") == "\ufffd\ufffd"


@pytest.mark.parametrize("text", ["", "a\0\x1b[2J\r\n", "é\u202e\u0085\U0001f600"])
def test_repair_does_not_change_valid_text(text: str) -> None:
    assert repair(text) == text


@given(ANY)
def test_repaired_text_can_be_encoded_and_is_not_repaired_again(text: str) -> None:
    repaired = repair(text)
    assert repaired.encode("utf-8").decode("utf-8") == repaired
    assert repair(repaired) == repaired


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, é \U0001f600", "plain, é \U0001f600"),
        ("a\tb\nc", "a\tb\nc"),
        ("\x1b]0;title\x07", "␛]0;title␇"),
        ("\0\r\x1f\x7f", "␀␍␟␡"),
        ("\x80\x9b\x9f\u00a0", "\ufffd\ufffd\ufffd\u00a0"),
        ("a\x85b\u2028c\u2029d", "a\nb\nc\nd"),
        ("".join(BIDI), "⟦LRE⟧⟦RLE⟧⟦PDF⟧⟦LRO⟧⟦RLO⟧⟦LRI⟧⟦RLI⟧⟦FSI⟧⟦PDI⟧"),
        (FLAG, "\U0001f3f4"),
        ("\U000dffff\U000e0000\U000e0080", "\U000dffff\U000e0080"),
        ("\ud7ff\ud800\udfff\ue000", "\ud7ff\ufffd\ufffd\ue000"),
        ("\ufdcf\ufdd0", "\ufdcf\ufffd"),
    ],
)
def test_terminal_control_characters_are_shown_as_symbols(text: str, shown: str) -> None:
    assert safe_text(text) == shown


@pytest.mark.parametrize("text", ["a\r\nb\r\n", "\r\n", "a\r\r\nb", "a\r\n\r\n```\r\nb"])
def test_report_19_a_carriage_return_is_never_a_visible_mark(text: str) -> None:
    shown = text.replace("\r", "")
    assert safe_text(text) == shown
    for cut in range(len(text)):  # a stream can split a line end
        assert safe_text(text[:cut]) + safe_text(text[cut:]) == shown
    assert "␍" not in safe_line(text)
    assert safe_text("10%\r20%") == "10%␍20%"


@pytest.mark.parametrize("count", [1, 8, 9, 500])
def test_marks_stack_up_no_higher_than_eight(count: int) -> None:
    assert safe_text(f"e{ACUTE * count}!") == f"e{ACUTE * min(count, 8)}!"


@given(ANY)
def test_nothing_in_safe_text_moves_the_cursor_or_turns_the_line(text: str) -> None:
    shown = safe_text(text)
    assert not [
        char for char in shown if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n"
    ]
    assert not set(shown) & set(BIDI)
    assert safe_text(shown) == shown


def test_a_paste_has_one_kind_of_line_end_and_whole_characters() -> None:
    assert safe_input("a\r\nb\rc\n\rd \ud83d\ude00\x1b") == "a\nb\nc\n\nd \U0001f600␛"


def test_only_characters_without_width_are_removed_from_a_line() -> None:
    assert drop_controls("a\tb\nc\x1b[0m\u202ed\u2028é") == "abc[0mdé"
    assert drop_controls("as it is, é") == "as it is, é"


def test_a_line_is_one_line_without_format_characters() -> None:
    assert safe_line(" a \t\n b\u2028c\r\x1b ") == "a b c␍␛"
    assert safe_line("in\u200bvisi\ufeffble \u202e") == "invisible ⟦RLO⟧"


@pytest.mark.parametrize(
    "title",
    [
        "می\u200cخو\u0627\u0647م 👩\u200d💻",
        "ක්\u200dරී ශ්\u200dරී",
        "क्\u200dष",
        "👩🏽\u200d🚒 ❤\ufe0f\u200d🔥 🏳\ufe0f\u200d🌈 1\ufe0f\u20e3 ⚠\ufe0f 🇩🇪",
        "\u06dd\u06f1",
    ],
)
def test_report_35_joiners_and_variation_selectors_stay_in_a_line(title: str) -> None:
    assert safe_line(title) == title


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("in\u200dvis\u200cible", "invisible"),
        ("\u200dمی\u200c\u200c\u200dخ\u200c", "می\u200cخ"),
        ("a\u200d💻 👩\u200da 👩\u200c💻", "a💻 👩a 👩💻"),
    ],
)
def test_a_joiner_that_joins_nothing_is_removed(text: str, line: str) -> None:
    assert safe_line(text) == line


@pytest.mark.parametrize(
    "cluster", ["👩\u200d💻", "❤\ufe0f", "👍🏽", "🇩🇪", "1\ufe0f\u20e3", "é".replace("é", "e\u0301")]
)
def test_report_35_a_line_is_not_cut_inside_an_emoji(cluster: str) -> None:
    line = "ab" + cluster * 4
    for limit in range(3, len(line)):
        shown = safe_line(line, limit)
        assert shown.endswith("…") and len(shown) <= limit
        assert shown[:-1] in ["ab" + cluster * count for count in range(5)]


def test_a_line_that_is_too_long_ends_in_an_ellipsis() -> None:
    assert safe_line("x" * 200) == "x" * 200
    assert safe_line("x" * 201) == "x" * 199 + "…"
    assert safe_line("abcd", 4) == "abcd"
    assert safe_line("abcde", 4) == "abc…"


def test_only_the_start_of_a_very_long_line_is_read() -> None:
    assert safe_line(" " * 31 + "ab", 4) == "a"
    assert safe_line(" " * 10_000_000 + "a", 4) == ""


def test_many_carriage_returns_need_no_long_time() -> None:
    begin = process_time()
    assert safe_text("\r" * 100_000 + "x").endswith("␍x")
    assert safe_text("a" + "\r" * 100_000 + "\n") == "a\n"
    assert process_time() - begin < 5
