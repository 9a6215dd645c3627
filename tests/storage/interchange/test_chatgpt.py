"""Import of ChatGPT exports: the current branch, and malformed zip files."""

import json
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from koel_tui.storage.interchange import ImportFormat, ImportProblem, Thread, detect, read_threads
from koel_tui.storage.interchange.input_file import read_json_in_zip


def node(name: str, parent: str | None, role: str = "", *parts: Any, **more: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": list(parts)}
    message = {
        "id": name,
        "author": {"role": role},
        "create_time": 1700000000.5,
        "content": content,
    }
    return {"id": name, "parent": parent, "children": [],
            "message": {**message, **more} if role else None}  # fmt: skip


def conversation(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "title": "Sea",
        "create_time": 1700000000.0,
        "update_time": 1700000100.0,
        "mapping": {found["id"]: found for found in nodes},
        "current_node": nodes[-1]["id"],
        "conversation_id": "abc",
        "default_model_slug": "gpt-4o",
        **more,
    }


SEA = conversation(
    node("root", None),
    node("s", "root", "system", ""),
    node("h", "s", "user", "about me", metadata={"is_visually_hidden_from_conversation": True}),
    node("u", "h", "user", "Why is the sea salty?"),
    node("old", "u", "assistant", "Magic."),
    node("t", "u", "assistant",
         content={"content_type": "thoughts", "thoughts": [{"content": "Think of rivers."}]}),
    node("a", "t", "assistant", "Rivers bring salt.", {"content_type": "image_asset_pointer"}),
)  # fmt: skip


def write(path: Path, wire: object) -> Path:
    path.write_text(json.dumps(wire))
    return path


def test_an_import_shows_the_branch_in_view(tmp_path: Path) -> None:
    path = write(tmp_path / "conversations.json", [SEA])
    assert detect(path) is ImportFormat.CHATGPT
    (thread,) = read_threads(path)
    assert isinstance(thread, Thread)
    assert thread.id == "chatgpt-abc"
    assert [(message.role, message.content) for message in thread.state.messages] == [
        ("user", "Why is the sea salty?"),
        ("assistant", "Rivers bring salt.\n[image]"),
    ]
    answer = thread.state.messages[1]
    assert answer.reasoning == "Think of rivers."
    assert answer.timestamp == datetime(2023, 11, 14, 22, 13, 20, 500000, UTC)
    assert thread.meta == {
        "title": "Sea",
        "model": "gpt-4o",
        "created": "2023-11-14T22:13:20.000Z",
        "updated": "2023-11-14T22:15:00.000Z",
    }


def test_without_a_message_in_view_the_last_branch_is_taken(tmp_path: Path) -> None:
    odd: list[object] = [None, "gone", 7, []]
    for missing in odd:
        path = write(tmp_path / "c.json", {**SEA, "current_node": missing})
        (thread,) = read_threads(path)
        assert isinstance(thread, Thread)
        assert thread.state.messages[-1].id == "a"


def test_a_zip_with_conversations_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("chat.html", "<script>alert(1)</script>")
        archive.writestr("../../conversations-001.json", json.dumps([{**SEA, "id": "two"}]))
        archive.writestr("conversations-000.json", json.dumps([SEA, SEA]))
    assert detect(path) is ImportFormat.CHATGPT
    assert len(list(read_threads(path))) == 3
    assert {found.name for found in tmp_path.iterdir()} == {"export.zip", "home"}


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", b"[" + b" " * (4 << 20) + b"]")


def test_a_zip_bomb_is_left_packed(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    bomb(path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="more than 1 MB"):
        list(read_json_in_zip(path, total_limit=1 << 20))


def test_declared_sizes_in_a_zip_are_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    bomb(path)
    data = path.read_bytes()
    size = struct.pack("<L", (4 << 20) + 2)
    assert size in data
    path.write_bytes(data.replace(size, struct.pack("<L", 100)))
    (error,) = read_json_in_zip(path, total_limit=1 << 20)
    assert isinstance(error, ValueError) and "conversations.json in it" in str(error)
    with pytest.raises(ImportProblem, match=r"more than|not complete|not JSON"):
        list(read_threads(path))


def test_many_small_members_count_together(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            text = json.dumps([SEA]) + " " * (200 << 10)
            archive.writestr(f"conversations-{number}.json", text)
    with pytest.raises(ValueError, match="more than"):
        list(read_json_in_zip(path, total_limit=1 << 20))


@pytest.mark.parametrize(
    "damage", ["truncated", "no member", "foreign", "lzma", "crc", "encrypted"]
)
def test_a_bad_zip_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.zip"
    method = zipfile.ZIP_LZMA if damage == "lzma" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        name = "other.json" if damage == "no member" else "conversations.json"
        archive.writestr(name, json.dumps([1] if damage == "foreign" else [SEA]))
    data = path.read_bytes()
    if damage == "truncated":
        data = data[:-30]
    elif damage == "crc":
        data = data.replace(b"Rivers", b"Rovers")
    elif damage == "encrypted":
        at = data.index(b"PK\x01\x02") + 8
        data = data[:6] + b"\1" + data[7:at] + b"\1" + data[at + 1 :]
    path.write_bytes(data)
    with pytest.raises(ImportProblem, match=r"bad\.zip cannot be imported"):
        list(read_threads(path))


@pytest.mark.parametrize(
    "broken",
    [
        7,
        {},
        {"mapping": []},
        {**SEA, "mapping": {"a": {**node("a", "b", "user", "x")}, "b": node("b", "a", "user", "y")},
         "current_node": "a"},
    ],
)  # fmt: skip
def test_a_bad_conversation_does_not_keep_the_others_out(tmp_path: Path, broken: object) -> None:
    path = write(tmp_path / "c.json", [SEA, broken, {**SEA, "conversation_id": "last"}])
    first, problem, last = read_threads(path)
    assert isinstance(problem, ImportProblem) and "conversation 2" in str(problem)
    assert isinstance(first, Thread) and isinstance(last, Thread)
    assert (first.id, last.id) == ("chatgpt-abc", "chatgpt-last")


@pytest.mark.parametrize(
    "odd", [None, 7, "x", [], {}, [None], {"parts": [7, None, {}]}, float("inf")]
)
@pytest.mark.parametrize("key", ["author", "content", "create_time", "metadata", "id", "weight"])
def test_a_conversation_with_unusual_values_is_imported(
    tmp_path: Path, key: str, odd: object
) -> None:
    odd_one = node("u", "root", "user", "hello", **{key: odd})
    path = write(
        tmp_path / "c.json", [conversation(node("root", None), odd_one, SEA["mapping"]["a"])]
    )
    (thread,) = read_threads(path)
    assert isinstance(thread, Thread)


@pytest.mark.parametrize("key", ["title", "create_time", "update_time", "conversation_id"])
@pytest.mark.parametrize("odd", [None, 7, [], {}, 1e300, "../../etc/passwd\x1b]0;x\x07"])
def test_a_conversation_with_unusual_headers_is_imported(
    tmp_path: Path, key: str, odd: object
) -> None:
    (thread,) = read_threads(write(tmp_path / "c.json", [{**SEA, key: odd}]))
    assert isinstance(thread, Thread) and len(thread.state.messages) == 2


def test_a_long_thread_is_imported(tmp_path: Path) -> None:
    nodes = [node("0", None)]
    nodes += [node(str(n), str(n - 1), "user", str(n)) for n in range(1, 5000)]
    (thread,) = read_threads(write(tmp_path / "c.json", conversation(*nodes)))
    assert isinstance(thread, Thread) and len(thread.state.messages) == 4999
