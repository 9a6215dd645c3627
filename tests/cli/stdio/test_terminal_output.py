"""Output of commands: threads, files and errors are printed without control characters."""

import asyncio
import logging
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.main import run
from koel_tui.logs import MAX_RECORD_CHARACTERS, SafeFormatter
from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.indexed_text import MAX_QUERY_LENGTH as LONGEST_SEARCH
from tests.cli.commands import Threads
from tests.hostile import EVERYTHING, HOSTILE
from tests.hostile_summary import Tally

WORST = f"<{EVERYTHING}>"
CHARACTERS = len(HOSTILE)


@pytest.fixture
def thread() -> str:
    """Save a thread with hostile text in every field; return its id."""
    storage = JsonFileStorage(paths.threads_dir())
    call = ToolCall("c", WORST, WORST)
    state = ChatState(
        messages=(
            Message("u", "user", f"storm {WORST}"),
            Message("a", "assistant", f"said {WORST}", reasoning=WORST, tool_calls=(call,)),
            Message("t", "tool", WORST, tool_call_id="c"),
        )
    )
    asyncio.run(storage.save(f"id {WORST}", state))
    asyncio.run(storage.update_meta(f"id {WORST}", title=f"title {WORST}", model=WORST))
    return f"id {WORST}"


def harmless(*said: str) -> None:
    for text in said:
        assert not set(text) & set(HOSTILE) - {"\x1b"}, [c for c in HOSTILE if c in text]
        assert "\x1b" not in text.replace("\x1b[1m", "").replace("\x1b[0m", "")  # allowed: bold


@pytest.mark.parametrize(
    "words",
    [
        ("list",), ("list", "--trash"), ("list", "--json"), ("show", "ID"),
        ("search", "storm"), ("search", "storm", "--json"), ("search", f"none{WORST}"),
        ("show", f"none {WORST}"), ("rename", "ID", f"new {WORST}"), ("rename", f"no {WORST}", "x"),
        ("delete", "ID"), ("delete", f"no {WORST}"), ("restore", f"no {WORST}"),
        ("import", f"/none/{WORST}"), ("export", "ID", "--output", f"/none/{WORST}"),
        ("export", "ID", "--output", "."), ("export", "ID", "--format", f"no {WORST}"),
        (f"no {WORST}",), ("list", f"--no {WORST}"),
    ],
    ids=lambda words: " ".join(words)[:20],
)  # fmt: skip
def test_the_output_of_thread_commands_is_sanitized(
    words: tuple[str, ...], thread: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, tally: Tally,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    given = [thread if word == "ID" else word for word in words]
    run(["threads", *(word.replace("\0", "") if word != thread else word for word in given)])
    said = capsys.readouterr()
    harmless(said.out, said.err)
    for path in tmp_path.iterdir():
        assert path.name.isprintable()
    tally("control characters", tried=CHARACTERS)


@pytest.mark.parametrize(
    "words", [["--model", WORST], ["ask", "hi", "--model", WORST], ["models", "pull", WORST],
              ["models", "check", WORST], ["config", WORST], [f"--{WORST}"]],
    ids=lambda words: " ".join(words)[:14],
)  # fmt: skip
def test_messages_about_invalid_arguments_are_sanitized(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    tally: Tally,
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.stdin", open("/dev/null"))  # noqa: SIM115, PTH123 - for one test
    run([word.replace("\0", "") for word in words])
    said = capsys.readouterr()
    assert said.err
    harmless(said.out, said.err)
    tally("control characters", tried=CHARACTERS)


def test_a_long_log_record_is_truncated() -> None:
    record = logging.LogRecord(
        "n", logging.INFO, "p", 1, "%s", ("x" * 10 * MAX_RECORD_CHARACTERS,), None
    )
    line = SafeFormatter("%(message)s").format(record)
    assert len(line) < MAX_RECORD_CHARACTERS + 100 and line.endswith("… (163,840 characters)")


def test_a_search_text_that_is_too_long_is_refused(threads: Threads, thread: str) -> None:
    said = threads("search", "word " * (LONGEST_SEARCH // 4))
    assert said.code == 2 and "Use at most 1,000 characters" in said.err


# Exported files


@pytest.mark.parametrize("how", ["to nothing", "to a file", "to a directory's file", "a circle"])
@pytest.mark.parametrize("forced", [False, True])
def test_an_export_never_follows_a_link(
    how: str, forced: bool, thread: str, threads: Threads, tmp_path: Path, tally: Tally
) -> None:
    mine, link = tmp_path / "mine", tmp_path / "link.md"
    if how == "to a file":
        mine.write_text("mine")
    elif how == "to a directory's file":
        mine.mkdir()
        mine = mine / "file"
        mine.write_text("mine")
    link.symlink_to(link if how == "a circle" else mine)
    said = threads("export", thread, "--output", str(link), *(["--force"] if forced else []))
    if forced:
        assert said.code == 0 and not link.is_symlink() and "storm" in link.read_text()
    else:
        assert said.code == 2 and "already exists" in said.err and link.is_symlink()
    if how == "to nothing" or how == "a circle":
        assert not mine.exists()
    else:
        assert mine.read_text() == "mine"
    tally("hostile name", tried=1)
