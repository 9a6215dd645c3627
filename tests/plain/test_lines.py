"""Text in pieces comes out in lines and sentences, however it is cut."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.plain.speech_lines import SpeechLines

TEXT = st.text(st.sampled_from("ab .!?\n`~*\u3002\U0001f333"), max_size=300)


def spoken(*pieces: str) -> list[str]:
    lines = SpeechLines()
    return [line for piece in pieces for line in lines.add(piece)] + list(lines.finish())


def test_sentences_and_lines_are_told_as_soon_as_they_are_finished() -> None:
    lines = SpeechLines()
    first = "The sea is salty because rivers carry salt into it."
    assert list(lines.add(first)) == []
    assert list(lines.add(" And it")) == [first]
    assert list(lines.add(" stays.\n\n1. One")) == ["And it stays.", ""]
    assert list(lines.finish()) == ["1. One"]


def test_code_is_told_line_by_line() -> None:
    code = "```python\nprint('Hello there, everybody who listens. And more. And more.')\n```"
    assert spoken(code) == code.split("\n")
    after = f"{code}\nThis sentence is longer than the shortest one. This one, too."
    assert spoken(after)[3:] == [
        "This sentence is longer than the shortest one.",
        "This one, too.",
    ]


def test_text_without_an_end_is_cut_between_words() -> None:
    words = "word " * 500
    assert all(0 < len(line) <= 1000 for line in spoken(words))
    assert " ".join(spoken(words)) == words.rstrip()
    assert "".join(spoken("x" * 5000)) == "x" * 5000


@given(TEXT, st.lists(st.integers(0, 300), max_size=6))
def test_the_cuts_between_pieces_do_not_matter(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert spoken(*pieces) == spoken(text)
    assert re.sub(r"\s", "", "".join(spoken(text))) == re.sub(r"\s", "", text)
