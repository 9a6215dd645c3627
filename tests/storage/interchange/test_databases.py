"""Import from the databases of oterm, elia and llm, valid and damaged."""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange import ImportFormat, ImportProblem, Thread, detect, read_threads
from koel_tui.storage.interchange.database import open_database
from tests.storage.interchange.databases import database, elia, llm, llm_threads, oterm


def threads(path: Path) -> list[Thread]:
    found = list(read_threads(path))
    assert all(isinstance(thread, Thread) for thread in found), found
    return [thread for thread in found if isinstance(thread, Thread)]


def said(thread: Thread) -> list[tuple[str, str]]:
    return [(message.role, message.content) for message in thread.state.messages]


SEA = [("user", "Why is the sea salty?"), ("assistant", "Rivers bring salt.")]


def test_oterm_conversations_are_imported(tmp_path: Path) -> None:
    path = oterm(tmp_path / "store.db")
    assert detect(path) is ImportFormat.OTERM
    first, second = threads(path)
    assert (first.id, said(first)) == ("oterm-1", SEA)
    assert first.meta == {"title": "Sea", "model": "llama3", "system": "Be brief."}
    assert (second.id, second.title) == ("oterm-2", "Hello")


def test_elia_conversations_are_imported(tmp_path: Path) -> None:
    path = elia(tmp_path / "elia.sqlite")
    assert detect(path) is ImportFormat.ELIA
    (thread,) = threads(path)
    assert (thread.id, said(thread)) == ("elia-7", SEA)
    assert thread.meta == {
        "title": "Sea",
        "model": "gpt-4o",
        "system": "Be brief.",
        "created": "2024-05-06T07:08:09.000Z",
        "updated": "2024-05-06T07:08:11.000Z",
    }
    assert thread.state.messages[0].timestamp == datetime(2024, 5, 6, 7, 8, 10, tzinfo=UTC)


def test_llm_conversations_are_imported(tmp_path: Path) -> None:
    path = llm(tmp_path / "logs.db")
    assert detect(path) is ImportFormat.LLM
    talk, alone = threads(path)
    assert (talk.id, talk.title, talk.meta["system"]) == ("llm-c1", "Sea", "Be brief.")
    assert said(talk) == [
        ("user", "A book about water.\nWhy is the sea salty?"),
        ("assistant", "Rivers bring salt."),
        ("user", "And lakes?"),
        ("assistant", "They drain."),
    ]
    assert talk.state.messages[1].reasoning == "Think of rivers."
    assert (alone.id, said(alone)) == ("llm-r3", [("user", "Alone"), ("assistant", "Yes.")])


def test_llm_threads_and_older_responses_without_a_thread_are_imported(tmp_path: Path) -> None:
    path = llm_threads(tmp_path / "logs.db")
    assert detect(path) is ImportFormat.LLM
    thread, alone = threads(path)
    assert (thread.id, thread.meta["model"], thread.meta["system"]) == (
        "llm-c1", "gpt-5", "Be brief.",
    )  # fmt: skip
    assert said(thread) == [
        ("user", "A book about water. Why is the sea salty?"),
        ("assistant", ""),
        ("tool", "wet"),
        ("assistant", "Rivers bring salt."),
    ]
    (call,) = thread.state.messages[1].tool_calls
    assert (call.id, call.name, call.arguments) == ("t1", "look", '{"at": "sea"}')
    assert thread.state.messages[2].tool_call_id == "t1"
    assert thread.state.messages[3].reasoning == "Think of rivers."
    assert alone.id == "llm-r3"


def test_a_database_in_use_is_read_with_its_log(tmp_path: Path) -> None:
    path = oterm(tmp_path / "store.db")
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO message (chat_id, author, text) VALUES (2, 'me', 'newest')")
    writer.commit()
    assert said(threads(path)[1])[-1] == ("user", "newest")
    writer.close()


def test_an_import_writes_no_file_next_to_a_database(tmp_path: Path) -> None:
    path = oterm(tmp_path / "store.db")
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    before = path.read_bytes()
    reading = read_threads(path)
    next(reading)
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["store.db"]
    list(reading)
    assert path.read_bytes() == before


def views(path: Path) -> None:
    database(
        path,
        'CREATE TABLE "chat" (id, name, model, system); CREATE VIEW message AS WITH RECURSIVE '
        "n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, 1 AS chat_id, 'me' AS "
        "author, 'again' AS text FROM n",
    )


def computed(path: Path) -> None:
    database(
        path,
        'CREATE TABLE "chat" (id, name, model, system); CREATE TABLE message (id, chat_id, author, '
        "text GENERATED ALWAYS AS (replace(hex(zeroblob(1000000)), '0', 'x')) VIRTUAL)",
    )


def virtual(path: Path) -> None:
    database(
        path,
        'CREATE TABLE "chat" (id, name, model, system); '
        "CREATE VIRTUAL TABLE message USING fts5(id, chat_id, author, text)",
    )


def torn(path: Path) -> None:
    data = oterm(path).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def scribbled(path: Path) -> None:
    data = bytearray(oterm(path).read_bytes())
    data[100:4096] = b"\xff" * 3996
    path.write_bytes(data)


def no_tables(path: Path) -> None:
    database(path, "CREATE TABLE something (else_entirely)")


@pytest.mark.parametrize("make", [views, computed, virtual, torn, scribbled, no_tables])
def test_a_bad_database_is_named_with_the_reason(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    path = tmp_path / "bad.db"
    make(path)
    with pytest.raises(ImportProblem, match=r"bad\.db cannot be imported: .+\. Check"):
        list(read_threads(path))
    with pytest.raises(ImportProblem):
        list(read_threads(path, ImportFormat.OTERM))


def test_a_query_that_exceeds_its_budget_is_interrupted(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    with (
        open_database(oterm(tmp_path / "store.db"), budget=1) as reading,
        pytest.raises(NotAThreadError, match="interrupted"),
    ):
        list(reading.rows(endless))


def test_a_bad_chat_does_not_keep_the_others_out(tmp_path: Path) -> None:
    path = oterm(tmp_path / "store.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE message SET text = ? WHERE id = 1", [b"\xff\xfe"])
        connection.execute("UPDATE message SET text = CAST(x'61ff62' AS TEXT) WHERE id = 4")
    connection.close()
    problem, thread = read_threads(path)
    assert isinstance(problem, ImportProblem) and "chat 1" in str(problem)
    assert isinstance(thread, Thread)
    assert said(thread) == [("user", "Hello"), ("assistant", "a\ufffdb")]


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE messages SET parent_hash = 'b' WHERE hash = 's'",
        "DELETE FROM messages WHERE hash = 'u'",
        "UPDATE parts SET payload = '[' WHERE message_hash = 'a'",
        "UPDATE parts SET payload = '[]' WHERE message_hash = 'a'",
    ],
)
def test_a_bad_chain_of_llm_is_one_problem(tmp_path: Path, harm: str) -> None:
    path = llm_threads(tmp_path / "logs.db")
    with sqlite3.connect(path) as connection:
        connection.execute(harm)
    connection.close()
    first, *others = read_threads(path)
    assert isinstance(first, ImportProblem) and "thread 'c1'" in str(first)
    assert [thread.id for thread in others if isinstance(thread, Thread)] == ["llm-c1", "llm-r3"]
