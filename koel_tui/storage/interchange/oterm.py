"""Import of the database of oterm: chats and their messages."""

from collections.abc import Iterator
from itertools import groupby

from koel_tui.protocol import Message
from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.database import Database, Row, column_text
from koel_tui.storage.interchange.portable_thread import Thread, thread_from_messages

_ROLES = {"me": "user", "user": "user", "system": "system"}


def is_oterm(database: Database) -> bool:
    """Return whether the database has oterm's tables."""
    return database.has("chat", "id", "name", "model", "system") and database.has(
        "message", "id", "chat_id", "author", "text"
    )


def from_oterm(database: Database) -> Iterator[Thread | NotAThreadError]:
    """Yield the chats, or an error with the reason for each invalid one."""
    chats = {row["id"]: row for row in database.rows("SELECT id, name, model, system FROM chat")}
    rows = database.rows("SELECT id, chat_id, author, text FROM message ORDER BY chat_id, id")
    for chat_id, chat_rows in groupby(rows, key=lambda row: row["chat_id"]):
        chat = chats.get(chat_id, {})
        try:
            yield thread_from_messages(
                f"oterm-{column_text(chat_id)}",
                [_message(row) for row in chat_rows],
                title=column_text(chat.get("name")),
                model=column_text(chat.get("model")),
                system=column_text(chat.get("system")),
            )
        except NotAThreadError as error:
            yield NotAThreadError(f"chat {chat_id!r}: {error}")


def _message(row: Row) -> Message:
    return Message(
        id=f"oterm-{column_text(row['id'])}",
        role=_ROLES.get(column_text(row["author"]), "assistant"),
        content=column_text(row["text"]),
    )
