"""The output and exit codes of commands, run in separate processes."""

import asyncio
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from koel_tui import __version__, paths
from koel_tui.cli import wiring
from koel_tui.cli.ask_question import read_question
from koel_tui.cli.main import run
from koel_tui.settings import Settings
from koel_tui.storage import JsonFileStorage
from tests.cli.commands import PROGRAM, Threads, koel, save
from tests.cli.stdio.piping import stdin_of


def test_version_and_help() -> None:
    assert koel("--version").stdout.strip() == f"koel-chat, version {__version__}"
    help_text = koel("--help")
    assert help_text.returncode == 0 and "Usage: koel-chat" in help_text.stdout


def test_ask_prints_one_answer_to_the_question_and_the_piped_text() -> None:
    done = koel(
        "ask", "Repeat the following text.", "--max-output-tokens", "24", stdin="I like Mila."
    )
    assert done.returncode == 0, done.stderr
    assert "Mila" in done.stdout
    assert done.stdout.endswith("\n")


def test_ask_refuses_more_than_any_model_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(b"x" * 10_000_001))
    assert run(["ask", "What is this?"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "koel-chat: the piped text has more than 10,000,000 characters. Pipe only a part of it.\n"
    )
    monkeypatch.setattr(sys, "stdin", stdin_of(b"x" * 10_000_000))
    assert len(asyncio.run(read_question(None, with_stdin=True))) == 10_000_000


def test_ask_json_is_one_object() -> None:
    done = koel("ask", "Say hello.", "--json", "--max-output-tokens", "8")
    answer = json.loads(done.stdout)
    assert answer["text"] and answer["error"] is None
    assert answer["model"].startswith("SmolLM2-135M")


def test_b36_ask_reports_a_window_beyond_the_training_on_stderr() -> None:
    done = koel("ask", "Say hello.", "--max-output-tokens", "4", "--context-tokens", "9000")
    assert done.returncode == 0
    assert "The context of 9,216 tokens is larger than the 8,192 that SmolLM2" in done.stderr
    assert "Use --context-tokens 8192." in done.stderr
    assert "larger than the" not in done.stdout
    done = koel("ask", "Say hello.", "--max-output-tokens", "4", "--context-tokens", "8192")
    assert (done.returncode, "larger than the" in done.stderr) == (0, False)


def test_ask_continues_a_saved_thread() -> None:
    save("mila", "I have a cat called Mila.", "What a lovely name.")
    done = koel("ask", "What is my cat called?", "--thread", "mila", "--max-output-tokens", "16")
    assert "Mila" in done.stdout, done.stderr
    shown = koel("threads", "show", "mila").stdout
    assert "What is my cat called?" in shown and done.stdout.strip() in shown


def test_ask_uses_the_settings_of_a_thread_unless_an_option_replaces_them(
    tmp_path: Path, starter_path: Path
) -> None:
    save("short", "Say a.", "a")
    other = tmp_path / "Other.gguf"
    other.symlink_to(starter_path)
    storage = JsonFileStorage(paths.threads_dir())
    wants = {"wanted_model": str(other), "max_output_tokens": 3, "sampling": {"temperature": -1}}
    asyncio.run(storage.update_meta("short", **wants))
    done = koel("ask", "Write a story.", "--thread", "short", "--json", "--temperature", "0")
    answer = json.loads(done.stdout)
    assert answer["model"] == "Other"
    assert 1 <= len(answer["text"].split()) <= 3


def test_ask_takes_the_memory_of_one_context(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []

    def agent(settings: Settings, snapshots: object) -> None:
        taken.append((settings.max_sessions, settings.parallel))
        raise InterruptedError

    monkeypatch.setattr(wiring, "create_local_agent", agent)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setenv("KOEL_PARALLEL", "4")
    assert run(["ask", "hi"]) == 1
    assert taken == [(1, 1)]


def test_ask_without_a_question_says_so() -> None:
    done = koel("ask")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no question" in done.stderr


def test_ask_beyond_the_window_is_an_error_with_both_numbers() -> None:
    done = koel("ask", "--context-tokens", "256", stdin="word " * 600)
    assert done.returncode == 2
    assert "the context has 256" in done.stderr
    assert "Traceback" not in done.stderr


def test_ask_is_ended_by_ctrl_c_with_130() -> None:
    child = subprocess.Popen(
        [PROGRAM, "ask", "Write a very long story."],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # A process that a shell starts in the background ignores SIGINT, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "Traceback" not in errors


def test_threads_list_and_show(threads: Threads) -> None:
    save("one", "Where is the harbour?", "Down the hill.")
    save("two", "Tell me \x1b]0;evil\x07 of the sea.", "It is wide.")
    listed = threads("list")
    assert listed.code == 0
    assert "Where is the harbour?" in listed.out
    rows = threads("list", "--json").rows
    assert [row["id"] for row in rows] == ["two", "one"]
    assert [row["messages"] for row in rows] == [2, 2]
    shown = threads("show", "one").out
    assert shown == "You:\nWhere is the harbour?\n\nModel:\nDown the hill.\n\n"
    state = json.loads(threads("show", "one", "--json").out)
    assert state["messages"][1]["content"] == "Down the hill."


def test_a_thread_that_is_not_there_is_named(threads: Threads) -> None:
    done = threads("show", "nowhere")
    assert done.code == 2
    assert "nowhere" in done.err


@pytest.mark.parametrize(
    ("environment", "config", "named"),
    [
        ({"KOEL_PARALLEL": "many"}, "", "parallel"),
        ({}, "max_sessions = 0", "max_sessions"),
        ({}, "modle = 'x'", "modle"),
        ({}, "this is no toml", "config.toml"),
    ],
)
def test_bad_settings_are_named_and_exit_78(
    environment: dict[str, str], config: str, named: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text(config)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run(["ask", "hi"]) == 78
    assert named in capsys.readouterr().err


def test_a_data_directory_that_cannot_be_used_is_73(threads: Threads) -> None:
    paths.data_dir().parent.mkdir(parents=True)
    paths.data_dir().write_text("in the way")
    done = threads("list")
    assert done.code == 73
    assert str(paths.data_dir()) in done.err
