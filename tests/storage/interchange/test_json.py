"""JSON exports of this program and of Koel: round trips, and imports of invalid files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.protocol import ChatState, Message, decode_state, settle
from koel_tui.storage import MemoryStorage, SessionStorage
from koel_tui.storage.files.json_file_storage import JsonFileStorage
from koel_tui.storage.interchange import (
    ExportFormat,
    ImportFormat,
    ImportProblem,
    SavedThreads,
    Thread,
    detect,
    export_thread,
    load_thread,
    read_threads,
    store_thread,
)
from koel_tui.storage.interchange.input_file import read_json
from tests.protocol.golden import GOLDEN
from tests.protocol.strategies import states, texts
from tests.storage.helpers import FILE_STORES, Clock, file_name, in_clear, saying


def only(path: Path, form: ImportFormat | None = None) -> Thread:
    (thread,) = read_threads(path, form)
    assert isinstance(thread, Thread)
    return thread


metas = st.dictionaries(
    st.sampled_from(["title", "model", "system", "self", "thread_id", "x"]), texts, max_size=3
)


@settings(max_examples=100, deadline=None)
@given(state=states, meta=metas, thread_id=texts)
def test_our_json_is_the_same_after_export_and_import(
    tmp_path_factory: pytest.TempPathFactory, state: ChatState, meta: dict[str, str], thread_id: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "thread.json"
    thread = Thread(thread_id, state, meta)
    path.write_text(export_thread(thread, ExportFormat.JSON))
    assert detect(path) is ImportFormat.JSON
    assert only(path) == thread


@settings(max_examples=100, deadline=None)
@given(state=states)
def test_koel_json_is_the_same_state_after_export_and_import(
    tmp_path_factory: pytest.TempPathFactory, state: ChatState
) -> None:
    path = tmp_path_factory.getbasetemp() / "koel.json"
    path.write_text(export_thread(Thread("t", state), ExportFormat.KOEL))
    if "format" not in state.extra:
        assert detect(path) is ImportFormat.KOEL
        koel = ("user", "assistant", "system", "tool")
        known = tuple(message for message in state.messages if message.role in koel)
        assert only(path).state == replace(state, messages=known)


def test_b21_koel_json_has_no_role_that_koel_refuses() -> None:
    said = (Message("u", "user", "hi"), Message("a", "activity", "{}"), Message("b", "robot", "x"))
    text = export_thread(Thread("t", ChatState(messages=said)), ExportFormat.KOEL)
    assert [message["role"] for message in json.loads(text)["messages"]] == ["user"]


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_b21_numbers_that_are_not_valid_json_are_null_after_an_import(
    tmp_path: Path, number: str
) -> None:
    path = tmp_path / "thread.json"
    state = f'{{"messages":[],"state":{{"x":{number}}}}}'
    path.write_text(f'{json.dumps(OURS)[:-3]}{state},"meta":{{"y":{number}}}}}')
    thread = only(path)
    assert (thread.state.state, thread.meta) == ({"x": None}, {"y": None})


@settings(max_examples=40, deadline=None)
@given(state=states, meta=metas)
async def test_a_thread_moves_to_another_storage(state: ChatState, meta: dict[str, str]) -> None:
    storage, state = MemoryStorage(clock=Clock()), settle(state, Clock()())
    stored = await store_thread(storage, Thread("t", state, meta))
    loaded = await storage.load(stored.id)
    assert loaded is not None
    assert loaded.messages == state.messages
    taken = await load_thread(storage, "t")
    assert {key: taken.meta[key] for key in meta} == meta


def test_the_golden_state_is_koel_json_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(GOLDEN)
    thread = only(path)
    assert thread.state == decode_state(json.loads(GOLDEN))
    assert export_thread(thread, ExportFormat.KOEL) == GOLDEN + "\n"
    assert thread.meta["created"] == "2026-01-02T03:04:05.000Z"


async def test_our_own_files_can_be_imported(tmp_path: Path) -> None:
    store = in_clear(tmp_path / "threads")
    await store.save("t", saying("hi", "hello"))
    await store.update_meta("t", title="Greeting")
    thread = only(tmp_path / "threads" / file_name("t"))
    assert (thread.id, thread.title, thread.state) == ("t", "Greeting", saying("hi", "hello"))


@pytest.mark.parametrize("change", ["damaged", "newer"])
@pytest.mark.parametrize("is_foreign", [False, True])
async def test_report_16_a_thread_whose_file_cannot_be_used_is_imported_once(
    tmp_path: Path, change: str, is_foreign: bool
) -> None:
    store = in_clear(tmp_path / "threads")
    await store.save("t", saying("hi", "hello"))
    file = tmp_path / "threads" / file_name("t")
    wire = json.loads(file.read_text())
    wire |= {"schema": 999, "state": {"messages": 5}} if change == "newer" else {"state": 5}
    file.write_text(json.dumps(wire))
    before, outcomes = file.read_bytes(), []
    store = in_clear(tmp_path / "threads")
    for state in [saying("hi", "hello")] * 3 + [saying("hi", "hello", "and?")]:
        thread = Thread("t", state, {"title": "T"}, is_foreign=is_foreign)
        outcomes.append(await store_thread(store, thread, SavedThreads(store)))
    assert [(each.is_new, each.added) for each in outcomes] == [
        (True, 0), (False, 0), (False, 0), (False, 1),
    ]  # fmt: skip
    assert len({each.id for each in outcomes}) == 1 and outcomes[0].id != "t"
    assert file.read_bytes() == before


@pytest.fixture(params=list(FILE_STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStorage:
    return FILE_STORES[request.param](tmp_path / "threads")


async def test_an_import_keeps_times_and_titles(store: SessionStorage) -> None:
    meta = {"title": "Old", "created": "2020-01-01T00:00:00.000Z",
            "updated": "2020-01-02T00:00:00.000Z"}  # fmt: skip
    await store_thread(store, Thread("t", saying("hi"), meta))
    (summary,) = await store.summaries()
    assert (summary.title, summary.created.year, summary.updated.day) == ("Old", 2020, 2)


async def test_an_import_never_overwrites_an_existing_thread(store: SessionStorage) -> None:
    await store.save("t", saying("mine"))
    stored = await store_thread(store, Thread("t", saying("theirs")))
    assert stored.is_new and stored.id != "t"
    assert await store.load("t") == saying("mine")
    assert await store.load(stored.id) == saying("theirs")
    again = await store_thread(store, Thread("t", saying("mine")))
    assert (again.id, again.is_new) == ("t", False)
    assert len(await store.list_threads()) == 2


async def test_a_damaged_thread_of_the_same_id_stays_as_it_is(tmp_path: Path) -> None:
    store = JsonFileStorage(tmp_path)
    for name, data in (("t", "{"), ("f", '{"format":"koel-chat/thread","schema":9,"id":"f"')):
        (tmp_path / file_name(name)).write_text(data)
    (tmp_path / file_name("new")).write_text(
        '{"format":"koel-chat/thread","schema":9,"id":"new","meta":{},"state":[]}'
    )
    for name in ("t", "f", "new"):
        before = (tmp_path / file_name(name)).read_bytes()
        stored = await store_thread(store, Thread(name, saying("hi")))
        assert stored.id != name
        assert (tmp_path / file_name(name)).read_bytes() == before


OURS = {"format": "koel-chat/thread", "schema": 1, "gen": 1, "id": "t", "meta": {}, "state": {}}
DEEP = "[" * 500 + "]" * 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "42",
        '"text"',
        "[" * 200_000,
        "{" * 10,
        "1" * 5000,
        '{"messages": 1}',
        '{"messages": [1]}',
        '{"messages": [{"id": 1, "role": "user"}]}',
        '{"messages": [{"id": "1"}]}',
        '{"messages": [], "phase": "dancing"}',
        f'{{"messages": [], "state": {{"a": {DEEP}}}}}',
        json.dumps({**OURS, "schema": 3}),
        json.dumps({**OURS, "schema": "1"}),
        json.dumps({**OURS, "meta": []}),
        json.dumps({**OURS, "state": {"messages": "no"}}),
        json.dumps({**OURS, "state": {"reasoningEcho": {"x": "no base64!"}}}),
        json.dumps({**OURS, "id": 7}),
        '{"format": "another"}',
    ],
)
def test_an_import_of_an_invalid_thread_names_the_file_and_the_reason(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ImportProblem, match=r"bad\.json cannot be imported: .+\. Check"):
        list(read_threads(path))
    for form in ImportFormat:
        with pytest.raises(ImportProblem):
            list(read_threads(path, form))


@pytest.mark.parametrize(
    "data", [b"\xff\xfe\xfd\x00", b"\x00" * 100, b"\x7fELF\x02", b"PK\x03\x04"]
)
def test_an_import_of_binary_data_names_the_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.bin"
    path.write_bytes(data)
    with pytest.raises(ImportProblem, match=r"bad\.bin"):
        detect(path)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 300))
def test_a_file_with_any_bytes_changed_is_read_or_named(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, place: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.json"
    intact = bytearray(export_thread(Thread("t", saying("hi", "you")), ExportFormat.JSON).encode())
    intact[place : place + len(data)] = data
    path.write_bytes(intact)
    try:
        found = list(read_threads(path))
    except ImportProblem:
        return
    # The reported problems may be replaced characters and an unreadable rest.
    assert all(isinstance(each, Thread | ImportProblem) for each in found)
    problems = [each for each in found if isinstance(each, ImportProblem)]
    assert all("mutated.json" in str(problem) for problem in problems)


def test_an_import_of_a_missing_file_or_a_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImportProblem, match="no such file"):
        detect(tmp_path / "nowhere")
    with pytest.raises(ImportProblem, match="it is not a file"):
        detect(tmp_path)


def test_a_file_that_is_too_big_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.json"
    path.write_text('{"messages": []}')
    with path.open("r+b") as file:
        file.truncate(10 << 30)  # a sparse file: it uses no disk space
    with pytest.raises(ImportProblem, match="more than 256 MB"):
        list(read_threads(path))
    with pytest.raises(ValueError, match="more than"):
        list(read_json(path, limit=1 << 20))


def test_a_file_with_a_byte_order_mark_is_imported(tmp_path: Path) -> None:
    path = tmp_path / "bom.json"
    path.write_bytes(b"\xef\xbb\xbf" + GOLDEN.encode())
    assert settle(only(path).state).messages
