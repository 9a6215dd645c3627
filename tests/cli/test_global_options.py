"""Global options: every option, before every command."""

from typing import Any

import click
import pytest

from koel_tui.cli.debugging import DEBUG_OPTION
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.main import commands, run
from tests.cli.commands import every_command, koel

GLOBAL = [
    each
    for each in commands.params
    if isinstance(each, click.Option) and each.opts[0] not in (DEBUG_OPTION, "--version")
]
COMMANDS = [(words, each) for words, each in every_command() if words]
LEAVES = [(words, each) for words, each in COMMANDS if not isinstance(each, click.Group)]
PAIRS = [
    pytest.param(option, words, command, id=f"{option.opts[0]} {' '.join(words)}")
    for option in GLOBAL
    for words, command in COMMANDS
]


def values(option: click.Parameter) -> tuple[str, str]:
    """Return two values of an option, as strings for the command line."""
    match option.type:
        case click.Choice(choices=choices):
            return choices[-1], choices[0]
        case click.IntRange(min=least):
            return str((least or 0) + 1), str((least or 0) + 2)
        case _:
            return "ask", "threads"  # a value may equal the name of a command


def typed(option: click.Option, value: str, *, joined: bool = False) -> list[str]:
    """Return the command-line words that set an option."""
    if option.is_flag:
        return [option.opts[0]]
    return [f"{option.opts[0]}={value}"] if joined else [option.opts[0], value]


def needed(command: click.Command) -> list[str]:
    """Return values for the required arguments of a command."""
    return [
        each.type.choices[0] if isinstance(each.type, click.Choice) else "something"
        for each in command.params
        if isinstance(each, click.Argument) and each.required
    ]


class Called:
    """A replacement of a command's callback that only records the arguments."""

    def __init__(self, command: click.Command, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arguments: dict[str, Any] | None = None
        monkeypatch.setattr(command, "callback", self._note)

    def _note(self, **arguments: Any) -> int:
        self.arguments = arguments
        return 0


def parsed(option: click.Option, value: str) -> Any:
    return True if option.is_flag else option.type_cast_value(click.Context(commands), value)


def test_the_program_has_every_option_of_the_window() -> None:
    chat = dict(every_command())[("chat",)]
    of_chat = {each.opts[0] for each in chat.params if isinstance(each, click.Option)}
    assert {each.opts[0] for each in GLOBAL} | {DEBUG_OPTION} == of_chat


@pytest.mark.parametrize(("option", "words", "command"), PAIRS)
def test_an_option_before_a_command_is_one_of_the_command_or_a_usage_error_that_names_both(
    option: click.Option, words: tuple[str, ...], command: click.Command,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    called = Called(command, monkeypatch)
    own = {each.opts[0]: each for each in command.params}.get(option.opts[0])
    rest = [*words, *needed(command)]
    first, second = values(option)
    if own is None:
        assert run([*typed(option, first), *rest]) == Exit.USAGE
        assert f"'koel-chat {' '.join(words)}' has no option {option.opts[0]}" in (
            capsys.readouterr().err
        )
        assert called.arguments is None
        return
    assert isinstance(own, click.Option) and own.type.to_info_dict() == option.type.to_info_dict()
    for lead, follow, expected in (
        ([], [], False if option.is_flag else None),
        (typed(option, first), [], parsed(option, first)),
        (typed(option, first, joined=True), [], parsed(option, first)),
        ([], typed(option, first), parsed(option, first)),
        (typed(option, first), typed(option, second), parsed(option, second)),
    ):
        called.arguments = None
        assert run([*lead, *rest, *follow]) == 0, capsys.readouterr().err
        assert called.arguments is not None
        assert called.arguments[option.name or ""] == expected, (lead, follow)


@pytest.mark.parametrize("option", GLOBAL, ids=lambda option: option.opts[0])
@pytest.mark.parametrize("thread", [[], ["Trip to Rome"], ["--", "ask"], ["--", "--plain"]])
def test_an_option_without_a_command_opens_the_window(
    option: click.Option, thread: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called = Called(dict(every_command())[("chat",)], monkeypatch)
    value = values(option)[0]
    assert run([*typed(option, value), *thread]) == 0
    assert called.arguments is not None
    assert called.arguments[option.name or ""] == parsed(option, value)
    assert called.arguments["thread"] == (thread[-1] if thread else None)


def test_several_options_before_a_command_all_count(monkeypatch: pytest.MonkeyPatch) -> None:
    called = Called(dict(every_command())[("ask",)], monkeypatch)
    assert run(["--model", "ask", "--threads=2", "--gpu-layers", "-1", "ask", "ask"]) == 0
    assert called.arguments is not None
    assert str(called.arguments["model"]) == called.arguments["question"] == "ask"
    assert (called.arguments["threads"], called.arguments["gpu_layers"]) == (2, -1)


@pytest.mark.parametrize(("words", "command"), LEAVES, ids=lambda each: str(each))
def test_debug_anywhere_shows_the_traceback(
    words: tuple[str, ...], command: click.Command,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def broken(**_: Any) -> int:
        raise RuntimeError("broken")

    monkeypatch.setattr(command, "callback", broken)
    line = [*words, *needed(command)]
    assert run(line) == Exit.INTERNAL
    assert "Traceback" not in capsys.readouterr().err
    places = {*range(len(words) + 1), len(line)}
    for place in places:
        assert run([*line[:place], DEBUG_OPTION, *line[place:]]) == Exit.INTERNAL
        said = capsys.readouterr().err
        assert "Traceback" in said and "RuntimeError: broken" in said, place


@pytest.mark.parametrize("option", GLOBAL, ids=lambda option: option.opts[0])
def test_an_option_before_a_command_with_a_bad_value_or_none_is_named(
    option: click.Option, capsys: pytest.CaptureFixture[str]
) -> None:
    name = option.opts[0]
    if not option.is_flag:
        assert run([name]) == Exit.USAGE
        assert f"Option '{name}' requires an argument" in capsys.readouterr().err
    if isinstance(option.type, click.IntRange | click.Choice):
        assert run([name, "many", "ask", "hi"]) == Exit.USAGE
        assert f"Invalid value for '{name}'" in capsys.readouterr().err


def test_an_option_of_a_command_before_it_is_an_error_that_says_where_it_belongs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--temperature", "0", "ask", "hi"]) == Exit.USAGE
    said = capsys.readouterr().err
    assert "--temperature is an option of 'ask'. Put it after the command." in said
    assert run(["--nonsense", "ask", "hi"]) == Exit.USAGE
    assert "No such option '--nonsense'" in capsys.readouterr().err


def test_the_program_answers_with_options_on_both_sides_of_the_command() -> None:
    done = koel("--threads", "1", "--debug", "ask", "Hi.", "--max-output-tokens=2")
    assert done.returncode == 0 and done.stdout.strip()
    assert "Traceback" not in done.stderr
    done = koel("--debug", "--model=nowhere.gguf", "ask", "Hi.")
    assert done.returncode == 66
    assert "Traceback" in done.stderr and "nowhere.gguf" in done.stderr


def test_help_and_version_work_after_other_options(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--plain", "--help"], ["--help"]):
        assert run(words) == 0
        said = capsys.readouterr().out
        assert all(f"  {each.opts[0]} " in said for each in GLOBAL)
    assert run(["--model", "ask", "--version"]) == 0
    assert "version" in capsys.readouterr().out
    assert run(["--model", "x", "ask", "--help"]) == 0
    assert "Usage: koel-chat ask" in capsys.readouterr().out
