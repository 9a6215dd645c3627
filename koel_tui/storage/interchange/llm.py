"""Import of the log of the command-line program llm.

A log has conversations, which consist of responses, and since llm 0.32 threads, which consist of
messages. A conversation that was continued as a thread is there twice, with the same id.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any

from koel_tui.protocol import Message, ToolCall
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.database import Database, Row, column_text
from koel_tui.storage.interchange.portable_thread import Thread, parse_time, thread_from_messages

_RESPONSE_COLUMNS = (
    "id", "model", "prompt", "system", "response", "conversation_id", "datetime_utc",
)  # fmt: skip
_MESSAGE_PARTS_SQL = (
    "SELECT m.role, m.parent_hash, p.position, p.type, p.text, p.payload FROM messages m "
    "LEFT JOIN parts p ON p.message_hash = m.hash WHERE m.hash = ? ORDER BY p.position"
)
_FRAGMENTS_SQL = (
    "SELECT p.response_id, f.content FROM prompt_fragments p JOIN fragments f "
    'ON f.id = p.fragment_id ORDER BY p.response_id, p."order"'
)


def is_llm(database: Database) -> bool:
    """Return whether the database has the tables of either kind of llm's log."""
    return _has_responses(database) or _has_threads(database)


def from_llm(database: Database) -> Iterator[Thread | NotAThreadError]:
    """Yield the threads and conversations, or an error with the reason for each invalid one.

    Of a conversation that is also a thread, only the thread is imported.
    """
    imported_ids: set[str] = set()
    if _has_threads(database):
        # A list, because the loop queries the database for each thread.
        for row in list(database.rows("SELECT id, name, tip_message_hash FROM threads")):
            try:
                thread = _thread(database, row)
                imported_ids.add(thread.id)
                if thread.state.messages:
                    yield thread
            except NotAThreadError as error:
                yield NotAThreadError(f"thread {row['id']!r}: {error}")
    if _has_responses(database):
        for found in _conversations(database):
            if not (isinstance(found, Thread) and found.id in imported_ids):
                yield found


def _has_responses(database: Database) -> bool:
    return database.has("conversations", "id", "name") and database.has(
        "responses", *_RESPONSE_COLUMNS
    )


def _has_threads(database: Database) -> bool:
    return (
        database.has("threads", "id", "name", "tip_message_hash")
        and database.has("messages", "hash", "parent_hash", "role")
        and database.has("parts", "message_hash", "position", "type", "text", "payload")
        and database.has("turns", "thread_id", "tip_message_hash", "model", "datetime_utc")
    )


def _conversations(database: Database) -> Iterator[Thread | NotAThreadError]:
    conversations = database.rows("SELECT id, name FROM conversations")
    titles = {row["id"]: row["name"] for row in conversations}
    fragments: dict[Any, list[object]] = {}
    if database.has("prompt_fragments", "response_id", "fragment_id", "order"):
        for row in database.rows(_FRAGMENTS_SQL):
            fragments.setdefault(row["response_id"], []).append(row["content"])
    columns = ", ".join(_RESPONSE_COLUMNS)
    if database.has("responses", "reasoning"):
        columns += ", reasoning"
    # A response without a conversation is imported as a separate conversation.
    rows = database.rows(
        f"SELECT {columns}, coalesce(conversation_id, id) AS group_id FROM responses "  # noqa: S608 - our own names
        "ORDER BY group_id, datetime_utc, id"
    )
    for conversation_id, conversation_rows in groupby(rows, key=lambda row: row["group_id"]):
        try:
            responses = list(conversation_rows)
            yield thread_from_messages(
                f"llm-{column_text(conversation_id)}",
                [
                    message
                    for response in responses
                    for message in _response_messages(response, fragments.get(response["id"], []))
                ],
                title=column_text(titles.get(conversation_id)),
                model=column_text(responses[-1]["model"]),
                system=column_text(responses[0]["system"]),
            )
        except NotAThreadError as error:
            yield NotAThreadError(f"conversation {conversation_id!r}: {error}")


def _response_messages(response: Row, fragments: list[object]) -> Iterator[Message]:
    """Yield the question and the answer of a response; `fragments` precede the question."""
    message_id = f"llm-{column_text(response['id'])}"
    timestamp = parse_time(response["datetime_utc"])
    prompt = "\n".join(map(column_text, [*fragments, response["prompt"]])).strip()
    if prompt:
        yield Message(f"{message_id}-prompt", "user", prompt, timestamp)
    answer = response["response"]
    reasoning = column_text(response.get("reasoning"))
    if answer or reasoning:
        text = column_text(answer)
        yield Message(message_id, "assistant", text, timestamp, reasoning=reasoning)


def _thread(database: Database, row: Row) -> Thread:
    """Return the thread of a row; its messages are read from the last to the first."""
    sql = "SELECT tip_message_hash, model, datetime_utc FROM turns WHERE thread_id = ? ORDER BY id"
    turns = {turn["tip_message_hash"]: turn for turn in database.rows(sql, row["id"])}
    messages: list[Message] = []
    timestamp: datetime | None = None
    model = ""
    message_hash, seen = row["tip_message_hash"], set()
    while message_hash is not None:
        if message_hash in seen:
            raise NotAThreadError("its messages form a cycle")
        seen.add(message_hash)
        parts = list(database.rows(_MESSAGE_PARTS_SQL, message_hash))
        if not parts:
            raise NotAThreadError("one of its messages is missing")
        if message_hash in turns:  # the last message of a turn; the others get its time
            turn = turns[message_hash]
            timestamp = parse_time(turn["datetime_utc"]) or timestamp
            model = model or column_text(turn["model"])
        message_id = f"llm-{column_text(message_hash)}"
        messages[:0] = _messages(database, message_id, parts, timestamp)
        message_hash = parts[0]["parent_hash"]
    return thread_from_messages(
        f"llm-{column_text(row['id'])}", messages, title=column_text(row["name"]), model=model
    )


def _messages(
    database: Database, message_id: str, parts: list[Row], timestamp: datetime | None
) -> list[Message]:
    """Return the message made of these parts, followed by one message per tool result."""
    role = column_text(parts[0]["role"])
    texts: dict[str, list[str]] = {"text": [], "reasoning": []}
    calls: list[ToolCall] = []
    results: list[Message] = []
    for part in parts:
        kind, payload = column_text(part["type"]), _payload(part["payload"])
        if kind in texts:
            texts[kind].append(_part_text(database, part["text"], payload))
        elif kind == "tool_call":
            call_id = column_text(payload.get("tool_call_id")) or f"{message_id}-{len(calls)}"
            name = column_text(payload.get("name"))
            calls.append(ToolCall(call_id, name, _json(payload.get("arguments")), message_id))
        elif kind == "tool_result":
            output = payload.get("output")
            results.append(
                Message(
                    f"{message_id}-result-{len(results)}",
                    "tool",
                    output if isinstance(output, str) else _json(output),
                    timestamp,
                    tool_call_id=column_text(payload.get("tool_call_id")) or None,
                )
            )
        elif kind:  # for example an image, which is not imported
            texts["text"].append(f"[{kind}]")
    message = Message(
        message_id,
        role if role in ("user", "system", "tool") else "assistant",
        "\n".join(filter(None, texts["text"])),
        timestamp,
        reasoning="\n".join(filter(None, texts["reasoning"])),
        tool_calls=tuple(calls),
    )
    return [*([] if message.is_empty else [message]), *results]


def _payload(value: object) -> Mapping[str, Any]:
    try:
        found = json.loads(column_text(value) or "{}")
    except (ValueError, RecursionError) as error:
        raise NotAThreadError("a part of a message is not JSON") from error
    if not isinstance(found, dict):
        raise NotAThreadError("a part of a message is not a JSON object")
    return found


def _json(value: object) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError) as error:
        raise NotAThreadError("a part of a message is nested too deeply") from error


def _part_text(database: Database, text: object, payload: Mapping[str, Any]) -> str:
    """Return the text of a part: its `text`, or the fragments and literals of its payload."""
    pieces = payload.get("text_ref")
    if not isinstance(pieces, list):
        return column_text(text)
    texts = []
    for piece in pieces:
        if isinstance(piece, dict) and isinstance(piece.get("fragment"), int):
            sql = "SELECT content FROM fragments WHERE id = ?"
            texts += [column_text(row["content"]) for row in database.rows(sql, piece["fragment"])]
        elif isinstance(piece, dict):
            texts.append(column_text(piece.get("literal")))
    return "".join(texts)
