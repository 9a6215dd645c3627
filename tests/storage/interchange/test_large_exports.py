"""Large ChatGPT exports: they are read conversation by conversation, with progress."""

import json
import os
import re
import subprocess
import sys
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path

import pexpect
import pytest
from rich.cells import cell_len

from koel_tui.cli.main import run
from koel_tui.protocol import ChatState
from koel_tui.storage import SessionStorage, StorageError
from koel_tui.storage.interchange import (
    ImportProblem,
    SavedThreads,
    Stored,
    Thread,
    read_threads,
    store_thread,
)
from koel_tui.storage.interchange.input_file import _Text, read_json
from tests.cli.commands import PROGRAM, koel
from tests.storage.helpers import FILE_STORES
from tests.storage.interchange.test_chatgpt import conversation, node

MEGABYTE = 1 << 20


def large(number: int, size: int) -> str:
    """Return a conversation with messages of about `size` bytes in total."""
    text = "Salt \u00e9 and \U0001f600. " * 400
    nodes = [node("0", None, "user", "Why?")]
    while sum(1 for _ in nodes) * len(text) < size:
        nodes.append(node(str(len(nodes)), str(len(nodes) - 1), "assistant", text))
    return json.dumps(conversation(*nodes, conversation_id=str(number)))


def test_report_29_an_export_is_read_conversation_by_conversation(tmp_path: Path) -> None:
    path, wire = tmp_path / "conversations.json", large(0, 500_000)
    path.write_text(f"[\n  {', '.join([wire] * 20)}\n]")
    progress: list[tuple[int, int]] = []
    done: list[int] = []
    for thread in read_threads(path, on_read=lambda *at: progress.append(at)):
        assert isinstance(thread, Thread) and len(thread.state.messages) > 40
        done.append(progress[-1][0])
    assert len(done) == 20 and done[0] < path.stat().st_size // 4
    assert progress[-1] == (path.stat().st_size, path.stat().st_size)
    assert all(one <= other for one, other in pairwise(progress))


@pytest.mark.parametrize("size", [4, 5, 7, 64])
def test_report_29_a_list_is_read_at_any_chunk_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    values = [1, -2.5e3, "é\U0001f600\u2028\\", True, None, [], {}, {"a": [1, {"b": "]},"}]}, 12]
    monkeypatch.setattr("koel_tui.storage.interchange.input_file._CHUNK", size)
    path = tmp_path / "c.json"
    for text in (json.dumps(values), json.dumps(values, ensure_ascii=False, indent=3), "[ ]"):
        for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
            path.write_bytes(f" {text} ".encode(encoding))
            assert list(read_json(path)) == json.loads(text)
    for bad in ("[1,]", "[1 2]", "[1", "[", "[1]]", '["a', "[tru]", "[1,\x01]", '[{"a":1},}'):
        path.write_text(bad)
        with pytest.raises(ValueError, match="it is not JSON"):
            list(read_json(path))


def test_report_29_a_truncated_export_yields_its_complete_conversations(tmp_path: Path) -> None:
    path, wire = tmp_path / "c.json", large(0, 1000)
    path.write_text(f"[{wire},{wire},{wire[:-30]}")
    found: list[object] = []
    with pytest.raises(ImportProblem, match="it is not JSON"):
        found.extend(read_threads(path))
    assert len(found) == 2
    threads = read_threads(path)
    assert isinstance(next(threads), Thread) and isinstance(next(threads), Thread)


def test_report_29_a_conversation_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(f'["{"x" * MEGABYTE}", "{"y" * 3 * MEGABYTE}", "{"z" * MEGABYTE}", 4]')
    first, error, third, last = read_json(path, limit=2 * MEGABYTE)
    assert (first, third, last) == ("x" * MEGABYTE, "z" * MEGABYTE, 4)
    assert isinstance(error, ValueError) and "item 2 of its list" in str(error)
    assert "more than 2 MB" in str(error)


def test_report_29_small_conversations_after_a_large_one_take_linear_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = 0
    compact = _Text._compact

    def counting(text: _Text) -> None:
        nonlocal copied
        copied += text.length
        compact(text)

    monkeypatch.setattr(_Text, "_compact", counting)
    path = tmp_path / "c.json"
    large_one, small = "x" * 4 * MEGABYTE, ["y" * 100] * 20_000
    path.write_text(json.dumps([large_one, *small]))
    assert sum(1 for _ in read_json(path)) == 20_001
    assert copied < 3 * path.stat().st_size


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("kind", ["json", "zip"])
def test_report_29_300_mb_need_150_mb_of_memory(tmp_path: Path, kind: str) -> None:
    wire = large(0, 100_000)
    count = 300 * MEGABYTE // len(wire) // 5
    shards = 5 if kind == "zip" else 1
    shard = f"[{','.join([wire] * (count * 5 // shards))}]"
    path = tmp_path / f"c.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number in range(shards):
                archive.writestr(f"conversations-{number:03}.json", shard)
    else:
        path.write_text(shard)
    code = (
        "import asyncio, re, sys; from pathlib import Path\n"
        "from koel_tui.storage import MemoryStorage\n"
        "from koel_tui.storage.interchange import SavedThreads, read_threads, store_thread\n"
        "storage = MemoryStorage(); saved = SavedThreads(storage); count = 0\n"
        "for thread in read_threads(Path(sys.argv[1])):\n"
        "    count += 1; asyncio.run(store_thread(storage, thread, saved))\n"
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())\n"
        "print(count, int(peak[1]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True, text=True, check=True, env=dict(os.environ),
    )  # fmt: skip
    read, megabytes = map(int, done.stdout.split())
    assert read == count * 5
    assert megabytes < 150


def test_report_29_a_terminal_shows_the_progress_of_an_import(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(f"[{','.join(large(number, 400_000) for number in range(12))}]")
    child = pexpect.spawn(
        PROGRAM, ["threads", "import", str(path)], encoding="utf-8", timeout=30, dimensions=(24, 80)
    )
    try:
        for number in range(3):  # the line is printed again below each thread
            child.expect_exact(f"chatgpt-{number}")
            child.expect(r"\r\x1b\[Kconversations\.json: \d+% of [\d.]+ MB, \d+ threads")
        child.expect_exact("12 imported, 0 extended, 0 already saved, 0 not imported.")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize("output", ["", " | cat > /dev/null"])
def test_report_29_the_progress_of_an_import_fits_a_narrow_terminal(
    tmp_path: Path, output: str
) -> None:
    """The progress goes to stderr. A line that wraps could not be erased."""
    path = tmp_path / ("\u6f22" * 18 + ".json")
    path.write_text(f"[{large(0, 600_000)}]")
    command = f"{PROGRAM} threads import {path}{output}"
    child = pexpect.spawn(
        "bash", ["-c", command], encoding="utf-8", timeout=30, dimensions=(24, 40)
    )
    try:
        child.expect(pexpect.EOF)
        shown = re.findall(r"\x1b\[K(\u6f22[^\r\n]*)", child.before or "")
    finally:
        child.close()
    assert shown and all(cell_len(line) < 40 for line in shown), shown


def test_report_29_an_import_that_fails_at_once_has_nothing_to_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def store(storage: SessionStorage, thread: Thread, saved: SavedThreads) -> Stored:
        if thread.id == failing:
            raise StorageError("The disk is full.")
        return await store_thread(storage, thread, saved)

    monkeypatch.setattr("koel_tui.storage.interchange.store_thread", store)
    path = tmp_path / "c.json"
    path.write_text(f"[{large(0, 10)},{large(1, 10)}]")
    failing = "chatgpt-0"
    assert run(["threads", "import", str(path)]) == 74
    assert capsys.readouterr().err == "koel-chat: The disk is full.\n"
    failing = "chatgpt-1"
    assert run(["threads", "import", str(path)]) == 74
    assert capsys.readouterr().err.startswith("The import was stopped: 1 imported, 0 extended")


@pytest.mark.slow
def test_report_29_ctrl_c_keeps_imported_threads_and_names_the_next_command(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(f"[{','.join(large(number, 400_000) for number in range(40))}]")
    command = ["threads", "import", str(path)]
    child = pexpect.spawn(PROGRAM, command, encoding="utf-8", timeout=30, dimensions=(24, 80))
    try:
        child.expect("chatgpt-1 ")
        child.sendintr()
        child.expect(r"The import was stopped: (\d+) imported")
        child.expect(r"Run the same command\s+again to\s+continue")
        child.expect(pexpect.EOF)
    finally:
        child.close()
    assert child.exitstatus == 130
    done = koel(*command)
    found = re.search(r"(\d+) imported, 0 extended, (\d+) already saved, 0 not", done.stderr)
    assert found is not None and done.returncode == 0, done.stderr
    new, saved = map(int, found.groups())
    assert new + saved == 40 and saved >= 2 and new
    assert "%" not in done.stderr and "\r" not in done.stderr and "\x1b" not in done.stderr


@pytest.mark.parametrize("kind", list(FILE_STORES))
async def test_report_29_a_large_conversation_is_stored_with_few_copies(
    tmp_path: Path, kind: str
) -> None:
    path, storage = tmp_path / "c.json", FILE_STORES[kind](tmp_path / "threads")
    path.write_text(f"[{large(0, 4 * MEGABYTE)}]")
    await storage.save("first", ChatState())  # imports modules
    tracemalloc.start()
    try:
        (thread,) = read_threads(path)
        assert isinstance(thread, Thread)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        stored = await store_thread(storage, thread, SavedThreads(storage))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    file = max(each.stat().st_size for each in (tmp_path / "threads").iterdir())
    copies = (peak - size) / file
    assert copies < (1.3 if kind == "json" else 2.3), copies
    assert (await storage.meta(stored.id))["title"] == "Sea"
    assert await storage.load(stored.id) == thread.state
