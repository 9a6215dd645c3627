"""Parsing drafts from JSON, and joining texts."""

import pytest

from koel_tui.conversation.drafts import join_texts, parse_draft

FOLDED = "[pasted 120 lines #1]"


@pytest.mark.parametrize(
    "value",
    [None, 1, [], {}, {"text": 1}, {"text": "a", "pasted": 1}, {"text": "a", "pasted": {"": "b"}},
     {"text": "a", "pasted": {FOLDED: 1}}, {"text": "a", "pasted": {"a": "b"}}],
)  # fmt: skip
def test_an_invalid_draft_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no "):
        parse_draft(value)


def test_texts_are_joined_by_empty_lines() -> None:
    assert join_texts("a", " ", "", "b") == "a\n\nb"
