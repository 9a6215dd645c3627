"""The sentence splitter: streamed chunks become lines and sentences, for any chunks."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.plain.sentence_splitter import SentenceSplitter

TEXT = st.text(st.sampled_from("ab .!?\n`~*\u3002\U0001f333"), max_size=300)


def split(*pieces: str) -> list[str]:
    splitter = SentenceSplitter()
    return [line for piece in pieces for line in splitter.add(piece)] + list(splitter.finish())


def test_sentences_and_lines_are_reported_as_soon_as_they_are_finished() -> None:
    splitter = SentenceSplitter()
    first = "The sea is salty because rivers carry salt into it."
    assert list(splitter.add(first)) == []
    assert list(splitter.add(" And it")) == [first]
    assert list(splitter.add(" stays.\n\n1. One")) == ["And it stays.", ""]
    assert list(splitter.finish()) == ["1. One"]


def test_code_is_reported_line_by_line() -> None:
    code = "```python\nprint('Hello there, everybody who listens. And more. And more.')\n```"
    assert split(code) == code.split("\n")
    after = f"{code}\nThis sentence is longer than the shortest one. This one, too."
    assert split(after)[3:] == [
        "This sentence is longer than the shortest one.",
        "This one, too.",
    ]


def test_text_without_an_end_is_cut_between_words() -> None:
    words = "word " * 500
    assert all(0 < len(line) <= 1000 for line in split(words))
    assert " ".join(split(words)) == words.rstrip()
    assert "".join(split("x" * 5000)) == "x" * 5000


@given(TEXT, st.lists(st.integers(0, 300), max_size=6))
def test_the_chunks_of_a_text_do_not_change_its_sentences(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    assert split(*pieces) == split(text)
    assert re.sub(r"\s", "", "".join(split(text))) == re.sub(r"\s", "", text)
