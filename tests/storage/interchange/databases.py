"""Helpers that make small databases with the tables of other programs."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

OTERM = """
    CREATE TABLE "chat" ("id" INTEGER, "name" TEXT, "model" TEXT NOT NULL, "system" TEXT,
        "provider" TEXT DEFAULT "ollama", "parameters" TEXT DEFAULT "{}", "tools" TEXT DEFAULT "[]",
        "thinking" BOOLEAN DEFAULT 0, PRIMARY KEY("id" AUTOINCREMENT));
    CREATE TABLE "message" ("id" INTEGER, "chat_id" INTEGER NOT NULL, "author" TEXT NOT NULL,
        "text" TEXT NOT NULL, "images" TEXT DEFAULT "[]", PRIMARY KEY("id" AUTOINCREMENT)
        FOREIGN KEY("chat_id") REFERENCES "chat"("id") ON DELETE CASCADE);
"""
ELIA = """
    CREATE TABLE chat (id INTEGER NOT NULL, model VARCHAR NOT NULL, title VARCHAR,
        started_at DATETIME DEFAULT (CURRENT_TIMESTAMP), archived BOOLEAN NOT NULL,
        PRIMARY KEY (id));
    CREATE TABLE message (id INTEGER NOT NULL, chat_id INTEGER, role VARCHAR NOT NULL,
        content VARCHAR NOT NULL, timestamp DATETIME DEFAULT (CURRENT_TIMESTAMP), meta JSON,
        parent_id INTEGER, model VARCHAR, PRIMARY KEY (id),
        FOREIGN KEY(chat_id) REFERENCES chat (id));
    CREATE TABLE system_prompt (id INTEGER NOT NULL, title VARCHAR NOT NULL,
        prompt VARCHAR NOT NULL, created_at DATETIME, PRIMARY KEY (id));
"""
LLM = """
    CREATE TABLE "conversations" ("id" TEXT PRIMARY KEY, "name" TEXT, "model" TEXT);
    CREATE TABLE "responses" ("id" TEXT PRIMARY KEY, "model" TEXT, "prompt" TEXT, "system" TEXT,
        "prompt_json" TEXT, "options_json" TEXT, "response" TEXT, "response_json" TEXT,
        "conversation_id" TEXT REFERENCES "conversations"("id"), "duration_ms" INTEGER,
        "datetime_utc" TEXT, "input_tokens" INTEGER, "output_tokens" INTEGER,
        "token_details" TEXT, "schema_id" TEXT, "resolved_model" TEXT, "reasoning" TEXT);
    CREATE TABLE "fragments" ("id" INTEGER PRIMARY KEY, "hash" TEXT, "content" TEXT,
        "datetime_utc" TEXT, "source" TEXT);
    CREATE TABLE "prompt_fragments" ("response_id" TEXT REFERENCES "responses"("id"),
        "fragment_id" INTEGER REFERENCES "fragments"("id"), "order" INTEGER,
        PRIMARY KEY ("response_id", "fragment_id", "order"));
"""
LLM_THREADS = """
    CREATE TABLE "messages" ("hash" TEXT PRIMARY KEY, "parent_hash" TEXT, "role" TEXT,
        "provider_metadata" TEXT);
    CREATE TABLE "parts" ("id" INTEGER PRIMARY KEY, "message_hash" TEXT, "position" INTEGER,
        "type" TEXT, "tool_name" TEXT, "text" TEXT, "payload" TEXT);
    CREATE TABLE "threads" ("id" TEXT PRIMARY KEY, "name" TEXT, "tip_message_hash" TEXT,
        "forked_from" TEXT, "datetime_utc" TEXT);
    CREATE TABLE "turns" ("id" TEXT PRIMARY KEY, "thread_id" TEXT, "parent_message_hash" TEXT,
        "tip_message_hash" TEXT, "model" TEXT, "resolved_model" TEXT, "options_json" TEXT,
        "schema_id" TEXT, "input_tokens" INTEGER, "output_tokens" INTEGER, "token_details" TEXT,
        "duration_ms" INTEGER, "datetime_utc" TEXT);
"""

Row = Mapping[str, object]


def database(path: Path, tables: str, **rows: Sequence[Row]) -> Path:
    """Make a database whose tables have these rows."""
    connection = sqlite3.connect(path)
    connection.executescript(tables)
    for table, values in rows.items():
        for row in values:
            names = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" for _ in row)
            connection.execute(
                f'INSERT INTO "{table}" ({names}) VALUES ({marks})',  # noqa: S608 - the names are constants
                list(row.values()),
            )
    connection.commit()
    connection.close()
    return path


def oterm(path: Path) -> Path:
    return database(
        path,
        OTERM,
        chat=[
            {"id": 1, "name": "Sea", "model": "llama3", "system": "Be brief."},
            {"id": 2, "name": None, "model": "qwen", "system": None},
            {"id": 3, "name": "Empty", "model": "qwen", "system": None},
        ],
        message=[
            {"id": 1, "chat_id": 1, "author": "me", "text": "Why is the sea salty?"},
            {"id": 2, "chat_id": 2, "author": "me", "text": "Hello"},
            {"id": 3, "chat_id": 1, "author": "ollama", "text": "Rivers bring salt."},
            {"id": 4, "chat_id": 2, "author": "ollama", "text": "Hi!"},
        ],
    )


def elia(path: Path) -> Path:
    return database(
        path,
        ELIA,
        chat=[
            {"id": 7, "model": "gpt-4o", "title": "Sea", "archived": 0,
             "started_at": "2024-05-06 07:08:09.000000"},
        ],
        message=[
            {"id": 1, "chat_id": 7, "role": "system", "content": "Be brief.",
             "timestamp": "2024-05-06 07:08:09.000000"},
            {"id": 2, "chat_id": 7, "role": "user", "content": "Why is the sea salty?",
             "timestamp": "2024-05-06 07:08:10.000000"},
            {"id": 3, "chat_id": 7, "role": "assistant", "content": "Rivers bring salt.",
             "timestamp": "2024-05-06 07:08:11.000000"},
        ],
    )  # fmt: skip


def llm(path: Path) -> Path:
    return database(
        path,
        LLM,
        conversations=[{"id": "c1", "name": "Sea", "model": "gpt-4o"}],
        responses=[
            {"id": "r2", "model": "gpt-4o", "prompt": "And lakes?", "system": None,
             "response": "They drain.", "conversation_id": "c1",
             "datetime_utc": "2024-05-06T07:09:00"},
            {"id": "r1", "model": "gpt-4o", "prompt": "Why is the sea salty?",
             "system": "Be brief.", "response": "Rivers bring salt.", "conversation_id": "c1",
             "datetime_utc": "2024-05-06T07:08:10", "reasoning": "Think of rivers."},
            {"id": "r3", "model": "gpt-4o", "prompt": "Alone", "response": "Yes.",
             "conversation_id": None, "datetime_utc": "2024-05-07T07:08:10"},
        ],
        fragments=[{"id": 1, "hash": "x", "content": "A book about water."}],
        prompt_fragments=[{"response_id": "r1", "fragment_id": 1, "order": 0}],
    )  # fmt: skip


def llm_threads(path: Path) -> Path:
    """Make a log of llm with conversations and threads: the conversation c1 became a thread."""
    llm(path)
    call = {"name": "look", "arguments": {"at": "sea"}, "tool_call_id": "t1"}
    answer = {"name": "look", "output": "wet", "tool_call_id": "t1"}
    borrowed = {"text_ref": [{"fragment": 1}, {"literal": " Why is the sea salty?"}]}
    return database(
        path,
        LLM_THREADS,
        messages=[
            {"hash": "s", "parent_hash": None, "role": "system"},
            {"hash": "u", "parent_hash": "s", "role": "user"},
            {"hash": "a", "parent_hash": "u", "role": "assistant"},
            {"hash": "t", "parent_hash": "a", "role": "tool"},
            {"hash": "b", "parent_hash": "t", "role": "assistant"},
        ],
        parts=[
            {"message_hash": "s", "position": 0, "type": "text", "text": "Be brief."},
            {"message_hash": "u", "position": 0, "type": "text", "payload": json.dumps(borrowed)},
            {"message_hash": "a", "position": 0, "type": "tool_call", "payload": json.dumps(call)},
            {"message_hash": "t", "position": 0, "type": "tool_result",
             "payload": json.dumps(answer)},
            {"message_hash": "b", "position": 0, "type": "reasoning", "text": "Think of rivers."},
            {"message_hash": "b", "position": 1, "type": "text", "text": "Rivers bring salt."},
        ],
        threads=[{"id": "c1", "name": "Sea", "tip_message_hash": "b"}],
        turns=[
            {"id": "1", "thread_id": "c1", "tip_message_hash": "a", "model": "gpt-4o",
             "datetime_utc": "2024-05-06T07:08:10+00:00"},
            {"id": "2", "thread_id": "c1", "tip_message_hash": "b", "model": "gpt-5",
             "datetime_utc": "2024-05-06T07:08:12+00:00"},
        ],
    )  # fmt: skip
