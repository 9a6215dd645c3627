"""Import of the log of llm: conversations of responses, and since 0.32 threads of messages."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from koel_tui.protocol import Message, ToolCall
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.database import Database, Row, column_text
from koel_tui.storage.interchange.portable_thread import Thread, parse_time, thread_from_messages

_RESPONSES = ("id", "model", "prompt", "system", "response", "conversation_id", "datetime_utc")
_CHAIN = (
    "SELECT m.role, m.parent_hash, p.position, p.type, p.text, p.payload FROM messages m "
    "LEFT JOIN parts p ON p.message_hash = m.hash WHERE m.hash = ? ORDER BY p.position"
)
_FRAGMENTS = (
    "SELECT p.response_id, f.content FROM prompt_fragments p JOIN fragments f "
    'ON f.id = p.fragment_id ORDER BY p.response_id, p."order"'
)


def is_llm(database: Database) -> bool:
    """Return whether the database has the tables of either kind of llm's log."""
    return _has_responses(database) or _has_threads(database)


def from_llm(database: Database) -> Iterator[Thread | NotAThreadError]:
    """Yield the conversations, or an error with the reason for each invalid one."""
    imported_ids: set[str] = set()
    if _has_threads(database):
        for row in list(database.rows("SELECT id, name, tip_message_hash FROM threads")):
            try:
                thread = _thread(database, row)
                imported_ids.add(thread.id)
                if thread.state.messages:
                    yield thread
            except NotAThreadError as error:
                yield NotAThreadError(f"thread {row['id']!r}: {error}")
    if _has_responses(database):
        yield from (
            found for found in _conversations(database) if _thread_id(found) not in imported_ids
        )


def _has_responses(database: Database) -> bool:
    return database.has("conversations", "id", "name") and database.has("responses", *_RESPONSES)


def _has_threads(database: Database) -> bool:
    return (
        database.has("threads", "id", "name", "tip_message_hash")
        and database.has("messages", "hash", "parent_hash", "role")
        and database.has("parts", "message_hash", "position", "type", "text", "payload")
        and database.has("turns", "thread_id", "tip_message_hash", "model", "datetime_utc")
    )


def _thread_id(found: Thread | NotAThreadError) -> str:
    return found.id if isinstance(found, Thread) else ""


def _conversations(database: Database) -> Iterator[Thread | NotAThreadError]:
    rows = database.rows("SELECT id, name FROM conversations")
    names = {row["id"]: row["name"] for row in rows}
    fragments: dict[Any, list[str]] = {}
    if database.has("prompt_fragments", "response_id", "fragment_id", "order"):
        for row in database.rows(_FRAGMENTS):
            fragments.setdefault(row["response_id"], []).append(column_text(row["content"]))
    reasoning_column = ", reasoning" if database.has("responses", "reasoning") else ""
    answers = database.rows(
        f"SELECT {', '.join(_RESPONSES)}{reasoning_column}, coalesce(conversation_id, id) AS talk "  # noqa: S608 - our own names
        "FROM responses ORDER BY talk, datetime_utc, id"
    )
    for name, rows in groupby(answers, key=lambda row: row["talk"]):
        try:
            responses = list(rows)
            yield thread_from_messages(
                f"llm-{column_text(name)}",
                [
                    message
                    for row in responses
                    for message in _turn(row, fragments.get(row["id"], []))
                ],
                title=column_text(names.get(name)),
                model=column_text(responses[-1]["model"]),
                system=column_text(responses[0]["system"]),
            )
        except NotAThreadError as error:
            yield NotAThreadError(f"conversation {name!r}: {error}")


def _turn(row: Row, fragments: list[str]) -> Iterator[Message]:
    name, at = f"llm-{column_text(row['id'])}", parse_time(row["datetime_utc"])
    prompt = "\n".join([*fragments, column_text(row["prompt"])]).strip()
    if prompt:
        yield Message(f"{name}-prompt", "user", prompt, at)
    reasoning = column_text(row.get("reasoning"))
    if row["response"] or reasoning:
        yield Message(name, "assistant", column_text(row["response"]), at, reasoning=reasoning)


def _thread(database: Database, row: Row) -> Thread:
    sql = "SELECT tip_message_hash, model, datetime_utc FROM turns WHERE thread_id = ? ORDER BY id"
    turns = {turn["tip_message_hash"]: turn for turn in database.rows(sql, row["id"])}
    messages: list[Message] = []
    tip, seen, at, model = row["tip_message_hash"], set(), None, ""
    while tip is not None:
        if tip in seen:
            raise NotAThreadError("its messages form a cycle")
        seen.add(tip)
        found = list(database.rows(_CHAIN, tip))
        if not found:
            raise NotAThreadError("one of its messages is missing")
        if tip in turns:
            at = parse_time(turns[tip]["datetime_utc"]) or at
            model = model or column_text(turns[tip]["model"])
        messages[:0] = _messages(database, f"llm-{column_text(tip)}", found, at)
        tip = found[0]["parent_hash"]
    return thread_from_messages(
        f"llm-{column_text(row['id'])}", messages, title=column_text(row["name"]), model=model
    )


def _messages(database: Database, name: str, parts: list[Row], at: Any) -> list[Message]:
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
            call = column_text(payload.get("tool_call_id")) or f"{name}-{len(calls)}"
            arguments = json.dumps(payload.get("arguments"))
            calls.append(ToolCall(call, column_text(payload.get("name")), arguments, name))
        elif kind == "tool_result":
            output = payload.get("output")
            results.append(
                Message(
                    f"{name}-result-{len(results)}",
                    "tool",
                    output if isinstance(output, str) else json.dumps(output),
                    at,
                    tool_call_id=column_text(payload.get("tool_call_id")) or None,
                )
            )
        elif kind:
            texts["text"].append(f"[{kind}]")
    message = Message(
        name,
        role if role in ("user", "system", "tool") else "assistant",
        "\n".join(filter(None, texts["text"])),
        at,
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


def _part_text(database: Database, literal: object, payload: Mapping[str, Any]) -> str:
    """Return the text of a part, which may consist of literals and fragments."""
    pieces = payload.get("text_ref")
    if not isinstance(pieces, list):
        return column_text(literal)
    texts = []
    for piece in pieces:
        if isinstance(piece, dict) and isinstance(piece.get("fragment"), int):
            sql = "SELECT content FROM fragments WHERE id = ?"
            texts += [column_text(row["content"]) for row in database.rows(sql, piece["fragment"])]
        elif isinstance(piece, dict):
            texts.append(column_text(piece.get("literal")))
    return "".join(texts)
