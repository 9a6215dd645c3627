"""Commands without a home directory: that of the user, or that of `~name` in a path."""

import io
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.main import run
from koel_tui.models.discovery import SearchRoots, find_models

UNKNOWN = "~nosuchuser/x"


@pytest.fixture(autouse=True)
def nothing_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a user that is unknown to the system, like `docker run --user 1234`."""

    def unknown(_: int) -> Any:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")


@pytest.mark.parametrize(
    "words",
    [["config", "path"], ["threads", "list"], ["models", "list"], ["ask", "Hi"], ["doctor"]],
)
def test_a_user_without_a_home_directory_gets_one_message(
    words: list[str],
    no_home: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name.startswith("XDG_")]:
        monkeypatch.delenv(name)
    assert run(words) == Exit.NO_DIRECTORY
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("koel-chat: There is no home directory. Set HOME to one, or ")


def test_without_a_home_directory_the_starter_model_is_found(
    no_home: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert SearchRoots().home == Path(os.devnull)
    assert "SmolLM2" in " ".join(model.name for model in find_models())
    assert run(["models", "list"]) == Exit.OK
    assert "SmolLM2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["ask", "--model", f"{UNKNOWN}.gguf", "Hi"], Exit.NO_MODEL, "there is no such file"),
        (["models", "probe", f"{UNKNOWN}.gguf"], Exit.NO_MODEL, "there is no such file"),
        (["threads", "import", f"{UNKNOWN}.json"], Exit.NO_FILE, "there is no such file"),
    ],
)
def test_a_path_below_the_home_of_an_unknown_user_is_a_file_that_does_not_exist(
    words: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == code
    error = capsys.readouterr().err
    assert UNKNOWN in error and said in error
    assert "internal error" not in error


def test_a_model_folder_of_an_unknown_user_has_no_models(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOEL_MODEL_FOLDERS", UNKNOWN)
    monkeypatch.setenv("HF_HOME", UNKNOWN)
    assert run(["models", "list"]) == Exit.OK
    assert run(["doctor"]) in (Exit.OK, Exit.INTERNAL)
    said = capsys.readouterr()
    assert "RuntimeError" not in said.out + said.err
