"""Exports with wrong values anywhere: only the bad conversation fails to import."""

import copy
import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from koel_tui.cli.main import run
from koel_tui.storage import MemoryStorage
from koel_tui.storage.interchange import (
    ExportFormat,
    ImportFormat,
    ImportProblem,
    SavedThreads,
    Thread,
    export_thread,
    read_threads,
    store_thread,
)
from koel_tui.storage.interchange.input_file import read_json
from tests.storage.helpers import saying
from tests.storage.interchange.databases import elia, llm, llm_threads, oterm
from tests.storage.interchange.test_chatgpt import SEA, conversation, node, write

CITED = "Salt \ue200cite\ue202turn0search1\ue201 and 【1†source】."
RICH = conversation(
    node("root", None),
    node("u", "root", "user", "Why?", {"content_type": "image_asset_pointer"},
         metadata={"attachments": [{"name": "a.pdf", "mime_type": "application/pdf"}]}),
    node("t", "u", "assistant", content={"content_type": "thoughts",
                                         "thoughts": [{"summary": "", "content": "Hm."}]}),
    node("a", "t", "assistant", CITED, metadata={
        "model_slug": "gpt-4o",
        "citations": [{"start_ix": 5, "end_ix": 30, "metadata": {"title": "N", "url": "https://e.org"}}],
        "content_references": [{"matched_text": "【1†source】", "alt": "(x)"}]}),
    node("p", "a", "assistant", recipient="python",
         content={"content_type": "code", "language": "python", "text": "1 + 1"}),
    node("o", "p", "tool", author={"role": "tool", "name": "python"},
         content={"content_type": "execution_output", "text": "2"}),
    node("c", "o", "assistant", recipient="canmore.create_textdoc",
         content={"content_type": "code", "text": json.dumps(
             {"name": "n", "type": "code/python", "content": "x", "updates": [{"pattern": "a"}],
              "comments": [{"pattern": "a", "comment": "b"}]})}),
    node("b", "u", "assistant", "Other."),
    current_node="c", conversation_id="rich",
)  # fmt: skip
OURS = json.loads(
    export_thread(Thread("ours", saying("hi", "you"), {"title": "T"}), ExportFormat.JSON)
)
KOEL = json.loads(export_thread(Thread("", saying("hi", "you")), ExportFormat.KOEL))

leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=5),
    st.sampled_from([10**400, -(10**400), 1e308, 253402300799, -62135596800, "\ud800",
                     "\x1b]0;x\x07", "root", "u", "a", "tool", "thoughts", "code",
                     "canmore.x", "\ue200" * 3]),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


def places(wire: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value below a JSON value."""
    children = wire.items() if isinstance(wire, dict) else enumerate(wire)
    for key, value in children:
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from places(value, (*before, key))


def changed(wire: Any, draw: Callable[[Any], Any], count: int) -> Any:
    """Return a copy in which values at random places are replaced or removed."""
    result = copy.deepcopy(wire)
    for _ in range(count):
        *path, last = draw(st.sampled_from(list(places(result)) or [("x",)]))
        target = result
        for key in path:
            target = target[key]
        if draw(st.booleans()) or not isinstance(target, dict):
            target[last] = draw(values)
        else:
            target.pop(last, None)
    return result


async def imported(path: Path, storage: MemoryStorage) -> list[tuple[bool, int]]:
    """Import a file; return for each thread whether it is new, and its number of new messages."""
    saved_threads, found = SavedThreads(storage), []
    for thread in read_threads(path):
        if isinstance(thread, ImportProblem):
            assert str(path) in str(thread)
        else:
            stored = await store_thread(storage, thread, saved_threads)
            found.append((stored.is_new, stored.added))
    return found


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data(), count=st.integers(1, 4))
async def test_report_22_a_hostile_conversation_fails_alone_and_nothing_is_added_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int
) -> None:
    bad = changed(RICH, data.draw, count)
    path = write(
        tmp_path_factory.getbasetemp() / "hostile.json", [SEA, bad, {**SEA, "conversation_id": "z"}]
    )
    storage = MemoryStorage()
    first = await imported(path, storage)
    assert first[0] == (True, 0) and {"chatgpt-abc", "chatgpt-z"} <= {*await storage.list_threads()}
    again = await imported(path, storage)
    assert len(again) == len(first) and not any(is_new or added for is_new, added in again)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), count=st.integers(1, 4), wire=st.sampled_from([OURS, KOEL]))
async def test_report_16_a_hostile_thread_in_a_list_fails_alone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, wire: Any
) -> None:
    bad = changed(wire, data.draw, count)
    good = {**OURS, "id": "good"} if wire is OURS else copy.deepcopy(KOEL)
    path = write(tmp_path_factory.getbasetemp() / "hostile.json", [good, bad, good])
    storage = MemoryStorage()
    first = await imported(path, storage)
    assert first[0] == (True, 0) and first[-1] == (False, 0)
    problems = [each for each in read_threads(path) if isinstance(each, ImportProblem)]
    assert len(first) + len(problems) == 3


SQL_VALUES = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.binary(max_size=5),
    st.text(max_size=5), st.sampled_from(["c1", "b", "[[]]", '{"text_ref": [1, {"fragment": 9}]}',
    '{"name": [], "output": NaN, "arguments": {}}', "9" * 5000, '{"output": ' + "9" * 5000 + "}"]),
)  # fmt: skip


@pytest.mark.parametrize("make", [oterm, elia, llm, llm_threads])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_report_16_a_database_with_other_values_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, make: Callable[[Path], Path], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile-{make.__name__}.db"
    template = path.with_suffix(".template")
    if not template.exists():
        make(template)
    path.write_bytes(template.read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = off")
        connection.execute("PRAGMA journal_mode = off")
        connection.execute("PRAGMA foreign_keys = off")
        tables = [
            row[0]
            for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        for _ in range(data.draw(st.integers(1, 3))):
            table = data.draw(
                st.sampled_from(sorted(name for name in tables if "sqlite" not in name))
            )
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            column, value = data.draw(st.sampled_from(columns)), data.draw(SQL_VALUES)
            row = data.draw(st.integers(0, 3))
            with suppress(sqlite3.Error):  # the column may not take the value
                connection.execute(
                    f'UPDATE "{table}" SET "{column}" = ? WHERE rowid IN '  # noqa: S608 - the names are constants
                    f'(SELECT rowid FROM "{table}" LIMIT 1 OFFSET {row})', [value],
                )  # fmt: skip
        connection.commit()
    try:
        found = list(read_threads(path))
    except ImportProblem as problem:
        assert str(path) in str(problem)
    else:
        assert all(isinstance(each, Thread | ImportProblem) for each in found)


DEEP = f'{{"mapping": {{"a": {"[" * 2000}{"]" * 2000}, "b": "]}}"}}}}'


@pytest.mark.parametrize(
    "bad", [pytest.param(DEEP, id="deep"), "null", "7", "{}", "[]", '{"mapping": null}', '"text"']
)
def test_report_29_a_bad_conversation_is_skipped_at_every_place(tmp_path: Path, bad: str) -> None:
    path, good = tmp_path / "c.json", json.dumps(SEA)
    for items in ([bad, good, good], [good, bad, good], [good, good, bad]):
        path.write_text(f"[{', '.join(items)}]")
        found = list(read_threads(path))
        assert [isinstance(each, Thread) for each in found] == [each is good for each in items]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(before=values, after=values, size=st.sampled_from([4, 7, 64]), data=st.data())
def test_report_29_a_skipped_value_ends_where_it_ends(
    tmp_path_factory: pytest.TempPathFactory,
    before: Any,
    after: Any,
    size: int,
    data: st.DataObject,
) -> None:
    inside = json.dumps([before, '"]}\\'], ensure_ascii=data.draw(st.booleans()))
    path = tmp_path_factory.getbasetemp() / "deep.json"
    deep = f"{'[' * 20_000}{inside}{']' * 20_000}"
    path.write_bytes(f"[1, {deep} ,{json.dumps(after)}]".encode("utf-8", "surrogatepass"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("koel_tui.storage.interchange.input_file._CHUNK", size)
        first, error, last = read_json(path)
    assert first == 1 and "item 2 of its list: it is nested too deeply" in str(error)
    path.write_text(json.dumps([after]))
    (expected,) = read_json(path)
    assert last == expected


def test_report_29_the_number_of_digits_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    wire = json.dumps({**SEA, "create_time": 0, "conversation_id": "big"})
    path.write_text(f"[{json.dumps(SEA)}, {wire.replace(': 0', ': ' + '9' * 5000)}]")
    assert [each.id for each in read_threads(path) if isinstance(each, Thread)] == [
        "chatgpt-abc", "chatgpt-big",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("encoding", "bad"),
    [
        ("utf-8", b"\xff\xfe"),
        ("utf-8-sig", b"\xff"),
        ("utf-16-le", b"\x00\xdc"),
        ("utf-32-le", b"\xff" * 4),
    ],
)
def test_report_24_a_damaged_character_does_not_end_an_import(
    tmp_path: Path, encoding: str, bad: bytes
) -> None:
    path = tmp_path / "c.json"
    wire = {**SEA, "title": "S\u00e9a"}
    data = json.dumps([wire, wire], ensure_ascii=False).encode(encoding)
    good = "\u00e9".encode(encoding.removesuffix("-sig"))
    path.write_bytes(data.replace(good, bad, 1))
    first, second, *problems = read_threads(path)
    assert isinstance(first, Thread) and "\ufffd" in first.title
    assert isinstance(second, Thread) and second.title == "S\u00e9a"
    if encoding != "utf-16-le":  # a lone surrogate there, which is accepted
        (problem,) = problems
        name = encoding.removesuffix("-sig").upper()
        assert str(problem).startswith(
            f"A part of the text in {path} cannot be imported: some characters are not {name} and "
            "were replaced by \ufffd. Move the imported threads to the trash, convert the file"
        )


@pytest.mark.parametrize("kind", ["list", "one", "cut off", "zip", "foreign"])
def test_report_24_an_import_of_latin_1_does_not_succeed_without_a_word(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wire = json.dumps({**SEA, "title": "S\u00e9a"}, ensure_ascii=False)
    data = {"one": wire, "foreign": '{"x": "\u00e9"}'}.get(kind, f"[{wire}]").encode("latin-1")
    path = tmp_path / "c.json"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("conversations.json", data)
    else:
        path.write_bytes(data[:-1] if kind == "cut off" else data)
    assert run(["threads", "import", str(path)]) == 66
    said = capsys.readouterr()
    assert said.out.startswith("chatgpt-abc") or kind == "foreign"
    assert ("some characters are not UTF-8" in said.err) is (kind != "foreign")
    assert ("is cut off" in said.err) is (kind == "cut off")
    assert ("its content is not in a supported format" in said.err) is (kind == "foreign")


@pytest.mark.parametrize("bad", ["x\ty", "x\x00\ny"])
async def test_report_29_control_characters_in_a_text_are_read(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "c.json"
    wire = json.dumps({**SEA, "title": "a title"}).replace("a title", bad)
    for text in (wire, f"[{wire}, {json.dumps(SEA)}]"):
        path.write_text(text)
        first, *_ = read_threads(path)
        assert isinstance(first, Thread) and first.title == bad


@pytest.mark.parametrize("size", [4, 7, 1 << 18])
@pytest.mark.parametrize("bad", ["\\q", "\\u12g4", "\\u", "\\x]}"])
def test_report_29_an_invalid_escape_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: str, size: int
) -> None:
    monkeypatch.setattr("koel_tui.storage.interchange.input_file._CHUNK", size)
    path = tmp_path / "c.json"
    path.write_text(f'[{{"a": 1}}, {{"b": "x{bad}y", "d": [2]}}, {{"c": 3}}]')
    first, error, last = read_json(path)
    assert (first, last) == ({"a": 1}, {"c": 3})
    assert str(error).startswith("item 2 of its list: it is not JSON: Invalid \\")
    path.write_text(f'[{{"a": 1}}, {{"b": "x{bad}')
    with pytest.raises(ValueError, match="it is not JSON"):
        list(read_json(path))


def test_report_29_a_syntax_error_after_conversations_names_the_rest(tmp_path: Path) -> None:
    path, good = tmp_path / "c.json", json.dumps(SEA)
    path.write_text(f'[{good}, {{"b": tru}}, {good}]')
    found: list[object] = []
    with pytest.raises(
        ImportProblem, match=r"^The rest of .*c\.json cannot be imported: it is not"
    ):
        found.extend(read_threads(path))
    assert len(found) == 1
    path.write_text(f'[{{"b": tru}}, {good}]')
    with pytest.raises(ImportProblem, match=r"^/.*c\.json cannot be imported: it is not JSON"):
        list(read_threads(path))


def test_report_29_a_packed_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json.gz"
    path.write_bytes(gzip.compress(json.dumps([SEA]).encode()))
    with pytest.raises(ImportProblem, match="packed with gzip; unpack it first"):
        list(read_threads(path))


def test_report_29_an_empty_zip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.zip"
    zipfile.ZipFile(path, "w").close()
    with pytest.raises(ImportProblem, match=r"no conversations\.json"):
        list(read_threads(path))


@pytest.mark.parametrize("damage", ["crc", "encrypted", "cut off", "not JSON", "foreign"])
def test_report_29_a_bad_part_of_a_zip_fails_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "e.zip"
    bad = {"cut off": json.dumps([SEA])[:-9], "not JSON": "[{x", "foreign": "[1, null]"}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conversations-000.json", json.dumps([SEA]))
        archive.writestr("conversations-001.json", bad.get(damage, json.dumps([RICH])))
        archive.writestr("conversations-002.json", json.dumps([{**SEA, "conversation_id": "z"}]))
    data = path.read_bytes()
    if damage == "crc":
        data = data.replace(b"Other.", b"Outer.")
    elif damage == "encrypted":
        for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = data.index(mark, data.index(mark) + 1) + flags
            data = data[:at] + b"\1" + data[at + 1 :]
    path.write_bytes(data)
    found = list(read_threads(path))
    ids = [each.id for each in found if isinstance(each, Thread)]
    problems = [str(each) for each in found if isinstance(each, ImportProblem)]
    assert [ids[0], ids[-1]] == ["chatgpt-abc", "chatgpt-z"]
    assert problems and (damage == "foreign" or "conversations-001.json in it" in problems[0])


@settings(max_examples=60, deadline=None)
@given(parents=st.lists(st.integers(-1, 6), min_size=6, max_size=6), shown=st.integers(-1, 6))
@example(parents=[1, 2, 0, 3, 4, 5], shown=5)
async def test_report_22_any_graph_of_nodes_is_a_tree_afterwards(
    tmp_path_factory: pytest.TempPathFactory, parents: list[int], shown: int
) -> None:
    """The graphs have cycles, several roots, missing parents, or inconsistent lists of children."""
    nodes = [node(str(n), str(parent), "user", f"text {n}") for n, parent in enumerate(parents)]
    for number, each in enumerate(nodes):
        each["children"] = [str(parents[number]), "0"]
    wire = {**conversation(*nodes), "current_node": str(shown)}
    path = write(
        tmp_path_factory.getbasetemp() / "graph.json", [SEA, wire | {"conversation_id": "g"}]
    )
    storage = MemoryStorage()
    found = await imported(path, storage)
    assert found[0] == (True, 0)
    if len(found) == 2:
        state = await storage.load("chatgpt-g")
        assert state is not None
        branches = [state.messages, *(branch for fork in state.forks for branch in fork.branches)]
        assert sorted(each.id for branch in branches for each in branch) == list("012345")
    assert all(each == (False, 0) for each in await imported(path, storage))


def test_a_given_import_format_accepts_no_other_format(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", [None, KOEL, SEA])
    problem, thread, other = read_threads(path, ImportFormat.CHATGPT)
    assert isinstance(problem, ImportProblem) and isinstance(thread, ImportProblem)
    assert isinstance(other, Thread) and other.id == "chatgpt-abc"
