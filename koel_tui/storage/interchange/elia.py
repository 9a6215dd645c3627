"""Import of the database of elia: chats and their messages."""

from collections.abc import Iterator
from itertools import groupby

from koel_tui.protocol import Message
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.database import Database, Row, column_text
from koel_tui.storage.interchange.portable_thread import Thread, parse_time, thread_from_messages

_ROLES = {"user": "user", "human": "user", "system": "system", "tool": "tool"}


def is_elia(database: Database) -> bool:
    """Return whether the database has elia's tables."""
    return database.has("chat", "id", "model", "title", "started_at") and database.has(
        "message", "id", "chat_id", "role", "content", "timestamp"
    )


def from_elia(database: Database) -> Iterator[Thread | NotAThreadError]:
    """Yield the chats, or an error with the reason for each invalid one."""
    rows = database.rows("SELECT id, title, model, started_at FROM chat")
    chats = {row["id"]: row for row in rows}
    rows = database.rows(
        "SELECT id, chat_id, role, content, timestamp FROM message ORDER BY chat_id, id"
    )
    for chat_id, chat_rows in groupby(rows, key=lambda row: row["chat_id"]):
        chat = chats.get(chat_id, {})
        try:
            yield thread_from_messages(
                f"elia-{column_text(chat_id)}",
                [_message(row) for row in chat_rows],
                title=column_text(chat.get("title")),
                model=column_text(chat.get("model")),
                times=(parse_time(chat.get("started_at")),),
            )
        except NotAThreadError as error:
            yield NotAThreadError(f"chat {chat_id!r}: {error}")


def _message(row: Row) -> Message:
    return Message(
        id=f"elia-{column_text(row['id'])}",
        role=_ROLES.get(column_text(row["role"]), "assistant"),
        content=column_text(row["content"]),
        timestamp=parse_time(row["timestamp"]),
    )
