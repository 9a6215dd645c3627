"""The head of a thread's file, the only part that the list of threads reads."""

import json
from pathlib import Path

import pytest
from hypothesis import given

from koel_tui.protocol import ChatState, encode_state
from koel_tui.storage.files import safe_open, thread_file, thread_folder
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.thread_head import HEAD_BYTES, Outline, find_head, parse_head
from koel_tui.storage.thread_record import Header, decode_record, encode_record
from tests.protocol.strategies import extras, states, texts
from tests.storage.helpers import FILE_STORES, MOMENT, file_name, in_clear, saying


@given(texts, extras, states)
def test_the_head_of_a_thread_file_gives_the_summary_of_the_whole_thread(
    thread_id: str, meta: dict[str, object], state: ChatState
) -> None:
    header = Header(thread_id, 3, meta=meta, extra={"theirs": 1})
    text = encode_record(header, Outline.of_state(state), encode_state(state)).encode()
    start = find_head(text)
    assert start is not None
    head = parse_head(start, len(text))
    assert head is not None
    assert head.summary(MOMENT) == decode_record(text).summary(MOMENT)
    assert parse_head(start, len(text) + 1) is None


@pytest.fixture(params=FILE_STORES)
def store(request: pytest.FixtureRequest, folder: Path) -> FileStorage:
    return FILE_STORES[request.param](folder)


async def test_a_list_reads_at_most_four_kilobytes_of_each_file(
    store: FileStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await store.save(str(number), saying("question", "x" * 10_000 * number, "last \u2603"))
        await store.update_meta(str(number), title=f"Title {number}", model="some model")
    expected = [store.reader().decode(file, path).summary(MOMENT) for path, file in files(store)]
    read: list[int] = []
    real = safe_open.read_start

    def counting(path: Path, size: int) -> object:
        read.append(size)
        return real(path, size)

    monkeypatch.setattr(thread_folder, "read_start", counting)
    monkeypatch.setattr(thread_file, "read_file", None)
    for kind in FILE_STORES:
        if isinstance(store, type(FILE_STORES[kind](folder))):
            listed = await FILE_STORES[kind](folder).summaries()
            assert sorted(listed, key=lambda row: row.id) == expected
    assert read == [HEAD_BYTES] * 5 == [4096] * 5


def files(store: FileStorage) -> list[tuple[Path, thread_file.ThreadFile]]:
    found = []
    for thread_id in map(str, range(5)):
        path = store.reader().thread_path(thread_id)
        file = thread_file.read_thread(path)
        assert file is not None
        found.append((path, file))
    return found


async def test_a_file_that_was_edited_by_hand_is_read_as_a_whole(folder: Path) -> None:
    store = in_clear(folder)
    await store.save("t", saying("question", "answer"))
    path = folder / file_name("t")
    wire = json.loads(path.read_bytes())
    wire["state"]["messages"].append({"id": "x", "role": "user", "content": "by hand"})
    wire["meta"]["title"] = "By hand"
    for indent in (None, 2):
        path.write_text(json.dumps(wire, indent=indent, separators=(",", ":")))
        (row,) = await in_clear(folder).summaries()
        assert (row.title, row.messages, row.preview) == ("By hand", 3, "by hand")


async def test_a_head_that_does_not_fit_is_read_with_the_whole_file(
    store: FileStorage,
) -> None:
    await store.save("\U0001f600" * 500, saying("question"))
    await store.update_meta("t", title="\U0001f600" * 500)
    rows = await store.summaries()
    assert {row.id: row.title for row in rows} == {
        "\U0001f600" * 500: "question",
        "t": "\U0001f600" * 500,
    }


async def test_a_truncated_file_is_found_by_the_list(store: FileStorage, folder: Path) -> None:
    await store.save("t", saying("question", "x" * 10_000))
    (path,) = folder.glob("t-*")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert await store.list_threads() == []
    (report,) = store.damaged
    assert report.copy is not None and report.copy.read_bytes() == data[:-1]


async def test_an_encrypted_head_is_bound_to_its_file(folder: Path) -> None:
    store = FILE_STORES["encrypted"](folder)
    for name in ("one", "other"):
        await store.save(name, saying(name))
    one, other = sorted(folder.glob("t-*"))
    wires = [json.loads(path.read_bytes().partition(b"\n")[0]) for path in (one, other)]
    rest = one.read_bytes().partition(b"\n")[2]
    swapped = {**wires[0], "head": wires[1]["head"]}
    for head in (swapped, {**wires[0], "head": "x"}, {**wires[0], "head": 3}):
        one.write_bytes(json.dumps(head, separators=(",", ":")).encode() + b"\n" + rest)
        again = FILE_STORES["encrypted"](folder)
        assert {row.id: row.title for row in await again.summaries()} == {
            "one": "one",
            "other": "other",
        }
