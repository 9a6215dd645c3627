"""Arguments that begin with a dash, report 33: questions, titles and names."""

import sys
from typing import Any

import click
import pytest

from koel_tui.cli.dashes import is_text, quote_argument
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.main import run
from tests.cli.asking import answer_of
from tests.cli.commands import Threads, every_command, save
from tests.cli.stdio.piping import stdin_of

TEXTS = [
    "- summarise this list",
    "-5 + 3 = ?",
    "-5",
    "-1e5",
    "-- draft --",
    "--- a rule ---",
    "---",
    "-",
    "-x is negative, is it?",
    "-x = 3, what is x?",
    "--no idea what this does",
    "-?",
    "-file.gguf",
    "-\none item\n- another",
    "-\u00a0item",
    "-«quoted»",
    "--1",
]
OPTION_LIKE = [
    "-untitled",
    "-Größe",
    "--jsno",
    "--jsno=yes",
    "---json",
    "-h",
    "-x=3",
    "--no-such-x",
]
COMMANDS = dict(every_command())
WITH_TEXT = [
    pytest.param(words, command, id=" ".join(words))
    for words, command in COMMANDS.items()
    if any(isinstance(each, click.Argument) for each in command.params) and words != ("completion",)
]


class Called:
    """A replacement of a command's callback that only records the arguments."""

    def __init__(self, command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arguments: dict[str, Any] = {}
        monkeypatch.setattr(command, "callback", self._note)

    def _note(self, **arguments: Any) -> int:
        self.arguments = arguments
        return 0

    def texts(self, command: click.Command) -> list[str]:
        """Return the arguments of the command that are not options."""
        given: list[str] = []
        for each in command.params:
            if isinstance(each, click.Argument):
                value = self.arguments[each.name or ""]
                given += map(str, value if isinstance(value, tuple) else [value])
        return [each for each in given if each != "None"]


def needed(command: click.Command) -> int:
    """Return the number of required arguments of a command."""
    return sum(isinstance(each, click.Argument) and each.required for each in command.params) or 1


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(("words", "command"), WITH_TEXT)
def test_report_33_text_that_cannot_be_an_option_is_an_argument_of_every_command(
    words: tuple[str, ...], command: click.Command, text: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    called = Called(command, monkeypatch)
    texts = [text] * needed(command)
    assert run([*words, *texts]) == 0, capsys.readouterr().err
    assert called.texts(command) == texts
    assert run([*words, "--debug", *texts]) == 0 and called.texts(command) == texts
    assert run([*words, *texts, "--debug"]) == 0 and called.texts(command) == texts


@pytest.mark.parametrize("text", OPTION_LIKE)
@pytest.mark.parametrize(("words", "command"), WITH_TEXT)
def test_report_33_a_word_like_an_option_is_an_error_that_names_the_separator(
    words: tuple[str, ...], command: click.Command, text: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    called = Called(command, monkeypatch)
    texts = [text] * needed(command)
    assert run([*words, *texts]) == Exit.USAGE
    said = capsys.readouterr().err
    line = f"koel-chat {' '.join(words)} {quote_argument(text)}"
    assert f"No such option '{text.partition('=')[0]}'." in said
    assert f"If it is not an option, put -- before it: {line}\n" in said
    assert f"Usage: koel-chat {' '.join(words)} " in said
    assert run([*words, "--", *texts]) == 0 and called.texts(command) == texts


def test_report_33_a_mistyped_option_names_the_right_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for typo, option in (("--jsno", "--json"), ("--sytem=You are", "--system")):
        assert run(["ask", "Hi", typo]) == Exit.USAGE
        said = capsys.readouterr().err
        assert "id you mean" in said and f"'{option}'" in said
    assert run(["threads", "list", "--jsno"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "Did you mean '--json'?" in said and "put --" not in said, "it takes no text"


def test_report_33_an_option_and_its_value_in_one_word_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["ask", "--temperature 0"]) == Exit.USAGE
    assert "No such option '--temperature 0'" in capsys.readouterr().err
    assert run(["--temperature 0"]) == Exit.USAGE
    assert "--temperature is an option of 'ask'" in capsys.readouterr().err
    assert run(["--model gemma"]) == Exit.USAGE
    assert "No such option '--model gemma'" in capsys.readouterr().err


@pytest.mark.parametrize("text", [text for text in TEXTS if text != "-"])
def test_report_33_the_window_opens_a_thread_whose_title_begins_with_a_dash(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = Called(COMMANDS["chat",], monkeypatch)
    for words in ([text], ["--plain", text], [text, "--plain"], ["--model", "-m", text]):
        assert run(words) == 0, capsys.readouterr().err
        assert called.arguments["thread"] == text


@pytest.mark.parametrize("text", ["-untitled", "--jsno", "-h"])
def test_report_33_a_title_like_an_option_is_an_error_of_the_program_too(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = Called(COMMANDS["chat",], monkeypatch)
    assert run([text]) == Exit.USAGE
    said = capsys.readouterr().err
    assert f"No such option '{text}'." in said
    assert f"If it is not an option, put -- before it: koel-chat -- {text}\n" in said
    assert run(["--", text]) == 0 and called.arguments["thread"] == text


@pytest.mark.parametrize("value", ["-5", "- be brief", "--json", "-untitled", "--"])
@pytest.mark.parametrize("form", ["{option} {value}", "{option}={value}"])
def test_report_33_the_value_of_an_option_may_begin_with_a_dash(
    value: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = Called(COMMANDS["ask",], monkeypatch)
    for option in ("--system", "--thread"):
        joined = form.startswith("{option}=")
        words = [f"{option}={value}"] if joined else [option, value]
        for line in (["- a question", *words], [*words, "- a question"]):
            assert run(["ask", *line]) == 0, capsys.readouterr().err
            assert called.arguments[option.strip("-")] == value
            assert called.arguments["question"] == "- a question"
            assert called.arguments["as_json"] is False


def test_report_33_a_value_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ask", "- a question", "--system"]) == Exit.USAGE
    assert "Option '--system' requires an argument" in capsys.readouterr().err


def test_report_33_an_error_of_a_question_with_a_dash_is_one_object_with_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of(b""))
    assert run(["ask", "--json", "-untitled"]) == Exit.USAGE
    assert "put -- before it" in answer_of(capsys.readouterr().out)["error"]
    assert run(["ask", "- a question", "--json", "--model", "/nowhere.gguf"]) == Exit.NO_MODEL
    assert "nowhere" in answer_of(capsys.readouterr().out)["error"]


def test_report_33_threads_with_such_titles_are_used_like_others(threads: Threads) -> None:
    save("one", "Where is the sea?", "Down the hill.")
    assert threads("rename", "one", "-- draft --").code == 0
    assert "Where is the sea?" in threads("show", "-- draft --").out
    assert threads("rename", "-- draft --", "--", "-untitled").code == 0
    assert threads("show", "-untitled").code == 2
    assert "Where is the sea?" in threads("show", "--", "-untitled").out
    assert threads("export", "--output", "-", "--", "-untitled").out.startswith("#")
    assert threads("delete", "--", "-untitled").code == 0
    assert threads("restore", "--", "-untitled").code == 0
    assert threads("search", "- sea").code == 0


def test_report_33_the_printed_command_for_a_restore_can_be_run(threads: Threads) -> None:
    save("-one", "Where is the sea?", "Down the hill.")
    deleted = threads("delete", "--", "-one").out
    assert deleted.endswith("To restore it: koel-chat threads restore -- -one\n")


def test_report_33_text_and_options_are_distinguished() -> None:
    assert not is_text("--json yes", {"--json"}) and is_text("--jsno yes", {"--json"})
    assert [text for text in TEXTS if not is_text(text, {"--json"})] == []
    assert [text for text in OPTION_LIKE if is_text(text, {"--json"})] == []
