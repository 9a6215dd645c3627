"""Thread records: round trips, invalid bytes, titles and summaries."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import ChatState, Message, encode_state
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.thread_head import Outline
from koel_tui.storage.thread_record import (
    Header,
    Record,
    decode_record,
    encode_record,
)
from tests.protocol.strategies import extras, states, texts

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@given(texts, st.integers(0, 2**40), extras, extras, states)
def test_a_record_round_trips(
    thread_id: str, gen: int, meta: dict[str, object], extra: dict[str, object], state: ChatState
) -> None:
    header = Header(thread_id, gen, meta=meta, extra=extra)
    text = encode_record(header, Outline.of_state(state), encode_state(state))
    assert text.isascii()
    record = decode_record(text)
    assert record.header == header
    assert record.state == json.loads(encode_state(state))


@given(st.binary(max_size=60))
def test_bytes_are_a_thread_or_a_typed_error(data: bytes) -> None:
    with pytest.raises(NotAThreadError):
        decode_record(data)


def _summary(*messages: Message, **meta: object) -> tuple[str, str]:
    state = json.loads(encode_state(ChatState(messages=messages)))
    summary = Record(Header("t", meta=meta), state).summary(MOMENT)
    return summary.title, summary.preview


def test_the_title_is_given_or_the_first_words_of_the_first_question() -> None:
    system = Message("s", "system", "Be brief.")
    question = Message("u", "user", "  What is\n\nthe   weather? ")
    assert _summary(system, question) == ("What is the weather?", "What is the weather?")
    assert _summary(question, title="Weather")[0] == "Weather"
    assert _summary(question, title=3)[0] == "What is the weather?"
    assert _summary(system)[0] == ""
    assert _summary() == ("", "")


def test_long_titles_are_cut_at_a_word_where_there_is_one() -> None:
    title, preview = _summary(Message("u", "user", "seven letters " * 100))
    assert title.endswith("letters…") and len(title) <= 60
    assert len(preview) <= 120
    assert _summary(Message("u", "user", "x" * 500))[0] == "x" * 59 + "…"
    assert _summary(Message("u", "user", "👍🏽" * 50))[0] == "👍🏽" * 29 + "…"


def test_a_title_has_no_attached_file_and_no_marks_of_markdown() -> None:
    question = "src/a.py:\n```\nprint(1)\n```\n- **What** does it do?"
    title, preview = _summary(Message("u", "user", question))
    assert title == "What does it do?" and preview.startswith("src/a.py:")


@pytest.mark.parametrize("state", [None, [], {"messages": {}}, {"messages": [None, 3]}])
def test_a_summary_never_fails(state: object) -> None:
    summary = Record(Header("t", meta={"updated": "later", "created": 3}), state).summary(MOMENT)
    assert (summary.updated, summary.created, summary.messages) == (MOMENT, MOMENT, 0)
