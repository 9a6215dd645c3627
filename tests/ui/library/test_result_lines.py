"""Tests of search results: excerpts and previews show and mark the matching words."""

import unicodedata
from datetime import UTC, datetime

import pytest
from textual.content import Content

from koel_tui.protocol import Message
from koel_tui.storage.search.thread_index import Hit
from koel_tui.ui.library.preview import preview
from koel_tui.ui.library.result_lines import MATCH_STYLE, excerpt

KEYS = "f2 rename, ctrl+d delete, ctrl+s export, ctrl+t trash"


def hit(snippet: str, *words: str) -> Hit:
    spans = tuple((snippet.index(word), snippet.index(word) + len(word)) for word in words)
    return Hit("t", "title", "m", "user", snippet, spans, datetime.now(UTC))


def marked(content: Content) -> list[str]:
    return [
        content.plain[span.start : span.end] for span in content.spans if span.style == MATCH_STYLE
    ]


@pytest.mark.parametrize(
    ("width", "shown", "words"),
    [
        (60, "…down to the harbour, where a lamp burns…", ["harbour", "lamp"]),
        (30, "…n to the harbour, where a la…", ["harbour", "la"]),
        (14, "…he harbour,…", ["harbour"]),
    ],
)
def test_an_excerpt_always_shows_the_first_matching_word(
    width: int, shown: str, words: list[str]
) -> None:
    found = hit("…down to the\nharbour, where a lamp burns…", "harbour", "lamp")
    content = excerpt(found, width)
    assert content.plain == shown and marked(content) == words


@pytest.mark.parametrize(
    ("written", "snippet", "word"),
    [
        ("\uff2c\uff21\uff2d\uff30", "the LAMP burns", "LAMP"),
        (unicodedata.normalize("NFD", "데이터"), "the 데이터 burns", "데이터"),
        ("la\u00admp", "the lamp burns", "lamp"),
    ],
)
def test_report_11_a_preview_marks_a_hit_that_is_written_with_other_characters(
    written: str, snippet: str, word: str
) -> None:
    text = f"{'before ' * 100}the {written} burns{' behind' * 400}"
    content = preview([Message("m", "user", text)], hit(f"…{snippet}…", word))
    assert marked(content) == [word]


def test_a_preview_shows_the_text_around_a_hit() -> None:
    text = f"{'before ' * 100}the [red]lamp[/red]\x1b burns{' behind' * 400}"
    content = preview([Message("m", "user", text)], hit("…the [red]lamp[/red]\x1b burns…", "lamp"))
    assert marked(content) == ["lamp"]
    assert "the [red]lamp[/red]␛ burns behind" in content.plain
    assert content.plain.startswith("You\n…") and content.plain.endswith("…")
    assert len(content.plain) < 1500
