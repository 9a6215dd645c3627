"""`ask`: exit codes, the JSON object, and notices of incomplete answers."""

import asyncio
import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from koel_tui import paths
from koel_tui.cli import wiring
from koel_tui.cli.exit_codes import Exit
from koel_tui.protocol import Message
from koel_tui.storage import JsonFileStorage, MemoryStorage, StorageError
from tests.cli.asking import answer_of
from tests.cli.commands import PROGRAM, Said, koel, save
from tests.ui.scripted import Turn

FIGURES = {
    "prompt_tokens": 20, "output_tokens": 4, "reused_tokens": 7, "context_tokens": 8192,
}  # fmt: skip


def plays(
    *texts: str, thoughts: Sequence[str] = (), reason: str = "end", trimmed: object = 2
) -> Callable[[Turn], object]:
    def play(turn: Turn) -> None:
        if thoughts:
            turn.think(*thoughts)
        for text in texts:
            turn.write(text)
        turn.measure(**FIGURES, trimmed_turns=trimmed)
        turn.finish(reason)

    return play


def test_report_2_an_answer_cut_at_its_limit_counts_and_stderr_reports_it() -> None:
    done = koel("ask", "Tell me a story.", "--max-output-tokens", "4")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert done.stdout.strip()
    assert done.stderr == (
        "koel-chat: The answer was cut at the limit of 4 tokens. "
        "A larger --max-output-tokens allows a longer one.\n"
    )
    done = koel("ask", "Tell me a story.", "--max-output-tokens", "4", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = answer_of(done.stdout)
    assert answer["finish_reason"] == "length" and answer["error"] is None and answer["text"]
    assert answer["usage"]["output_tokens"] == 4
    assert answer["usage"]["prompt_tokens"] > 4 and answer["usage"]["reused_tokens"] == 0
    assert "thinking" not in answer and answer["tool_calls"] == []


def test_report_2_an_answer_that_fills_the_context_counts_and_names_the_option() -> None:
    done = koel("ask", "Write a very long story of 2000 words.", "--context-tokens", "256")
    assert done.returncode == 0
    assert "cut by the full context of 256 tokens. A larger --context-tokens" in done.stderr


def test_a_complete_answer_has_its_reason_and_figures(asked: Callable[..., Said]) -> None:
    said = asked("Hi", "--json", play=plays("Hel", "lo.", thoughts=["Hm."]))
    assert (said.code, said.err) == (0, "")
    answer = answer_of(said.out)
    assert (answer["text"], answer["thinking"], answer["finish_reason"]) == ("Hello.", "Hm.", "end")
    assert answer["usage"] == {"prompt_tokens": 20, "reused_tokens": 7, "output_tokens": 4}
    assert (answer["model"], answer["trimmed_turns"]) == ("Scripted-1B", 2)
    said = asked("Hi", play=plays("Hello.", thoughts=["Hm."], trimmed=0))
    assert (said.code, said.out, said.err) == (0, "Hello.\n", "")


@pytest.mark.parametrize(
    ("turns", "line"),
    [
        (1, "The oldest turn did not fit the context and was left out."),
        (2, "The oldest 2 turns did not fit the context and were left out."),
    ],
)
def test_report_41_turns_that_did_not_fit_are_reported(
    turns: int, line: str, asked: Callable[..., Said]
) -> None:
    said = asked("Hi", play=plays("Hello.", trimmed=turns))
    assert (said.code, said.out) == (0, "Hello.\n")
    assert said.err == f"koel-chat: {line} A larger --context-tokens keeps more.\n"
    said = asked("Hi", "--json", play=plays("Hello.", trimmed=turns))
    assert (said.err, answer_of(said.out)["trimmed_turns"]) == ("", turns)


def test_report_41_a_cut_or_unusable_answer_has_both_lines(asked: Callable[..., Said]) -> None:
    said = asked("Hi", play=plays("Hello.", reason="length"))
    assert said.code == 0 and [line[:30] for line in said.err.splitlines()] == [
        "koel-chat: The answer was cut ", "koel-chat: The oldest 2 turns "
    ]  # fmt: skip
    said = asked("Hi", play=plays(thoughts=["Hm."]))
    assert said.code == Exit.NO_ANSWER and "only thought" in said.err
    assert "The oldest 2 turns did not fit" in said.err


@pytest.mark.parametrize("value", [None, "many", -1, 0])
def test_report_41_an_invalid_number_of_trimmed_turns_is_0(
    value: object, asked: Callable[..., Said]
) -> None:
    said = asked("Hi", "--json", play=plays("Hello.", trimmed=value))
    assert answer_of(said.out)["trimmed_turns"] == 0


@pytest.mark.slow
def test_report_41_a_thread_beyond_the_context_of_a_model(tiny_path: Path) -> None:
    save("long", *["Tell me more. " * 20, "There is more. " * 20] * 8, "And?", "Well.")
    options = ("--model", str(tiny_path), "--context-tokens", "256", "--max-output-tokens", "4")
    done = koel("ask", "--thread", "long", "First?", *options)
    assert done.returncode == 0, done.stderr
    (turns,) = re.findall(r"The oldest (\d+) turns did not fit the context", done.stderr)
    done = koel("ask", "--thread", "long", "First?", *options, "--json")
    assert answer_of(done.stdout)["trimmed_turns"] >= int(turns) > 1


@pytest.mark.parametrize(
    ("reason", "printed"),
    [
        ("end", "end"),
        ("stop", "end"),
        ("", "end"),
        ("made up", "end"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("stopped", "stopped"),
        ("content_filter", "stopped"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("error", "error"),
    ],
)
def test_the_reason_of_an_agent_becomes_one_of_five(
    reason: str, printed: str, asked: Callable[..., Said]
) -> None:
    said = asked("Hi", "--json", play=plays("Well.", reason=reason))
    assert (said.code, answer_of(said.out)["finish_reason"]) == (0, printed)


@pytest.mark.parametrize("reason", ["end", "length"])
def test_report_3_thinking_only_is_reported_as_no_answer(
    reason: str, asked: Callable[..., Said]
) -> None:
    said = asked("Hi", "--json", play=plays(thoughts=["Hm."], reason=reason))
    answer = answer_of(said.out)
    assert (said.code, answer["finish_reason"]) == (Exit.NO_ANSWER, reason)
    assert (answer["text"], answer["thinking"]) == ("", "Hm.")
    assert "only thought and wrote no answer" in answer["error"]
    assert answer["error"] in said.err
    said = asked("Hi", play=plays(thoughts=["Hm."], reason=reason, trimmed=0))
    assert (said.code, said.out) == (Exit.NO_ANSWER, "")
    assert said.err.startswith("koel-chat: The model only thought") and said.err.count("\n") == 1


@pytest.mark.parametrize("texts", [(), (" \n",)])
def test_report_3_an_empty_answer_is_reported_as_no_answer(
    texts: Sequence[str], asked: Callable[..., Said]
) -> None:
    said = asked("Hi", "--json", play=plays(*texts))
    answer = answer_of(said.out)
    assert (said.code, answer["finish_reason"]) == (Exit.NO_ANSWER, "end")
    assert "The model wrote no answer" in answer["error"] and answer["error"] in said.err


@pytest.mark.parametrize(
    ("agent_code", "code"),
    [
        ("EngineCrashedError", 71),
        ("RestartLimitError", 71),
        ("ModelLoadError", 66),
        ("ContextOverflowError", 2),
        ("UnsupportedError", 2),
        ("ValueError", 78),
        ("EngineError", 1),
    ],
)
def test_a_failed_answer_has_its_exit_code_and_the_partial_text(
    agent_code: str, code: int, asked: Callable[..., Said]
) -> None:
    def play(turn: Turn) -> None:
        turn.write("Half")
        turn.fail("It broke.", agent_code)

    said = asked("Hi", "--json", play=play)
    answer = answer_of(said.out)
    assert (said.code, answer["text"], answer["finish_reason"]) == (code, "Half", "error")
    assert answer["error"] == "It broke." and said.err == "koel-chat: It broke.\n"


@pytest.mark.parametrize(
    ("words", "config", "code", "why"),
    [
        ((), "", 2, "there is no question"),
        (("Hi", "--thread", "nowhere"), "", 2, "nowhere"),
        (("Hi", "--model", "nowhere.gguf"), "", 66, "nowhere.gguf"),
        (("Hi",), "modle = 'x'", 78, "modle"),
        (("Hi",), "model = 'nowhere.gguf'", 66, "nowhere.gguf"),
    ],
)
def test_a_failure_before_the_answer_is_one_object_too(
    words: Sequence[str], config: str, code: int, why: str, asked: Callable[..., Said]
) -> None:
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text(config)
    said = asked(*words, "--json")
    answer = answer_of(said.out)
    assert (said.code, answer["text"], answer["finish_reason"]) == (code, "", "error")
    assert why in answer["error"] and f"koel-chat: {answer['error']}\n" == said.err


class BadStorage(MemoryStorage):
    """A storage whose method of this name raises."""

    def __init__(self, call: str, error: Exception) -> None:
        super().__init__()

        async def fail(*_: object) -> None:
            raise error

        setattr(self, call, fail)


@pytest.mark.parametrize("error", [StorageError("The disk is full."), RuntimeError("It broke.")])
def test_an_unsaved_answer_exits_with_74_for_any_storage_error(
    error: Exception, asked: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = BadStorage("save", error)
    asyncio.run(storage.update_meta("story", title="Story"))
    monkeypatch.setattr(wiring, "open_storage", lambda: storage)
    said = asked("Hi", "--json", "--thread", "story", play=plays("Well."))
    answer = answer_of(said.out)
    assert (said.code, answer["text"], answer["finish_reason"]) == (74, "Well.", "end")
    assert f"could not be saved: {error}" in answer["error"]


def test_a_thread_that_cannot_be_read_is_74(
    asked: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = BadStorage("load", StorageError("The disk did not answer."))
    asyncio.run(storage.update_meta("story", title="Story"))
    monkeypatch.setattr(wiring, "open_storage", lambda: storage)
    said = asked("Hi", "--json", "--thread", "story", play=plays("Well."))
    assert (said.code, answer_of(said.out)["error"]) == (74, "The disk did not answer.")


def test_a_file_that_is_not_a_model_exits_with_66(
    tmp_path: Any, asked: Callable[..., Said]
) -> None:
    (tmp_path / "text.gguf").write_text("no model")
    said = asked("Hi", "--json", "--model", str(tmp_path / "text.gguf"))
    assert said.code == 66 and "text.gguf" in answer_of(said.out)["error"]


def test_an_error_of_the_program_itself_is_1_and_one_object(asked: Callable[..., Said]) -> None:
    def play(turn: Turn) -> None:
        raise KeyError("inside")

    said = asked("Hi", "--json", play=play)
    assert said.code == 1 and answer_of(said.out)["finish_reason"] == "error"


def test_a_message_larger_than_the_window_is_a_usage_error() -> None:
    done = koel("ask", "--json", "--context-tokens", "256", stdin="word " * 600)
    answer = answer_of(done.stdout)
    assert done.returncode == 2 and "the context has 256" in answer["error"]
    assert answer["model"] and answer["finish_reason"] == "error"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_keeps_the_partial_answer(number: signal.Signals) -> None:
    save("story", "Hello.", "Hi.")
    child = subprocess.Popen(
        [PROGRAM, "ask", "--json", "--thread", "story", "--temperature", "0",
         "--chat-template", "none", "Count: 1, 2, 3,"],  # without a template the answer is long
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in
                            (signal.SIGINT, signal.SIGHUP)],
    )  # fmt: skip
    _wait_for_text("story")
    child.send_signal(number)
    out, errors = child.communicate(timeout=30)
    answer = answer_of(out)
    assert child.returncode == 128 + number
    assert answer["finish_reason"] == "stopped" and answer["error"] is None
    assert answer["text"] and answer["usage"]["output_tokens"] is None
    assert "Traceback" not in errors
    stored = _messages("story")[-1]
    assert stored.interrupted and stored.content == answer["text"]


def test_a_signal_before_the_answer_is_one_object_too() -> None:
    child = subprocess.Popen(
        [PROGRAM, "ask", "--json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert child.stdin is not None
    # The text exceeds a pipe: once it is written, the program has begun to read stdin.
    child.stdin.write("x" * 1_000_000)
    child.stdin.flush()
    child.send_signal(signal.SIGINT)
    assert child.wait(timeout=30) == 130
    assert child.stdout is not None
    answer = answer_of(child.stdout.read())
    assert (answer["finish_reason"], answer["text"]) == ("stopped", "")


def _messages(thread: str) -> tuple[Message, ...]:
    state = asyncio.run(JsonFileStorage(paths.threads_dir()).load(thread))
    assert state is not None
    return state.messages


def _wait_for_text(thread: str) -> None:
    """Wait until a partial answer is saved for the first time."""
    from time import monotonic, sleep

    end = monotonic() + 60
    while len(messages := _messages(thread)) < 4 or not messages[-1].content:
        assert monotonic() < end, "no answer was saved while it was written"
        sleep(0.02)


def test_an_answer_that_cannot_be_saved_is_74_and_is_printed() -> None:
    save("story", "Hello.", "Hi.")
    done = subprocess.run(
        [PROGRAM, "ask", "--json", "--thread", "story", "Hi.", "--max-output-tokens", "4"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        # The limit would truncate compiled modules too, which would break every later start.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)),
    )  # fmt: skip
    answer = answer_of(done.stdout)
    assert done.returncode == 74, done.stderr
    assert answer["text"] and answer["finish_reason"] in ("end", "length")
    assert "could not be saved" in answer["error"] and answer["error"] in done.stderr
    assert len(_messages("story")) == 2


def test_a_thread_open_elsewhere_is_75_before_anything_is_asked() -> None:
    async def ask() -> "subprocess.CompletedProcess[str]":
        storage = JsonFileStorage(paths.threads_dir())
        access = await storage.open("story")
        assert access.writable
        try:
            return await asyncio.to_thread(koel, "ask", "--json", "--thread", "story", "Hi.")
        finally:
            await storage.close("story")

    save("story", "Hello.", "Hi.")
    done = asyncio.run(ask())
    answer = answer_of(done.stdout)
    assert (done.returncode, answer["text"], answer["finish_reason"]) == (75, "", "error")
    assert answer["thread"] == "story"
    assert len(_messages("story")) == 2


def test_report_2_a_saved_answer_that_was_cut_can_be_continued() -> None:
    save("story", "Hello.", "Hi.")
    done = koel("ask", "--thread", "story", "Count to ten.", "--max-output-tokens", "3")
    assert done.returncode == 0
    last = _messages("story")[-1]
    assert last.is_continuable and last.finish_reason == "length"
    assert last.usage is not None and last.usage["output_tokens"] == 3


def test_a_saved_setting_that_cannot_be_used_is_78_and_named(asked: Callable[..., Said]) -> None:
    save("story", "Hello.", "Hi.")
    storage = JsonFileStorage(paths.threads_dir())
    saved = {"sampling": {"temperature": -1, "top_p": 0.5}, "stop": "END"}
    asyncio.run(storage.update_meta("story", **saved))
    said = asked("Go on.", "--thread", "story", play=plays("Well."))
    assert (said.code, said.out) == (78, "")
    assert "cannot be used: temperature, stop. Open the thread" in said.err
    assert len(_messages("story")) == 2
    meta = asyncio.run(storage.meta("story"))
    assert {name: meta[name] for name in saved} == saved


def test_an_option_replaces_a_saved_setting_that_cannot_be_used(
    asked: Callable[..., Said],
) -> None:
    save("story", "Hello.", "Hi.")
    storage = JsonFileStorage(paths.threads_dir())
    asyncio.run(storage.update_meta("story", sampling={"temperature": -1}))
    words = ("Go on.", "--thread", "story", "--temperature", "0.5")
    assert asked(*words, play=plays("Well.")).code == 0
    assert len(_messages("story")) == 4
    assert asyncio.run(storage.meta("story"))["sampling"] == {"temperature": -1}
