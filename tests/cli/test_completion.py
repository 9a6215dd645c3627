"""Shell completion: the offered words, and their insertion by bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from koel_tui import paths
from koel_tui.cli.main import main, run
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.files.file_names import KEY_FILE
from tests.cli.commands import PROGRAM, save


class Offered:
    """Returns the completions that a shell gets for the last of some words."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def __call__(self, *words: str, to: str = "bash") -> list[str]:
        typed = {
            "_KOEL_CHAT_COMPLETE": f"{to}_complete",
            "COMP_WORDS": " ".join(("koel-chat", *words)),
            "COMP_CWORD": words[-1] if to == "fish" else str(len(words)),
        }
        for name, value in typed.items():
            self._monkeypatch.setenv(name, value)
        self._capsys.readouterr()
        with pytest.raises(SystemExit):
            main([])
        said = self._capsys.readouterr()
        assert said.err == ""
        return [line for line in said.out.splitlines() if line]


@pytest.fixture
def offered(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Offered:
    return Offered(capsys, monkeypatch)


def test_the_first_word_is_a_command_a_thread_or_an_option(offered: Offered) -> None:
    save("one", "Where is the harbour?")
    first = offered("")
    assert {"plain,chat", "plain,ask", "plain,threads", "plain,config"} <= set(first)
    assert "title,Where is the harbour?" in first
    assert offered("con") == ["plain,config"]
    assert {"plain,--debug", "plain,--version", "plain,--model"} <= set(offered("--"))
    assert offered("--debug", "con") == ["plain,config"]


def test_subcommands_options_and_values_are_offered(offered: Offered) -> None:
    assert offered("threads", "re") == ["plain,rename", "plain,restore"]
    options = ["plain,--json", "plain,--trash", "plain,--debug", "plain,--help"]
    assert offered("threads", "list", "--") == options
    assert offered("ask", "--te") == ["plain,--temperature"]
    assert offered("--model", "ask", "ask", "--te") == ["plain,--temperature"]
    assert offered("--plain", "--th") == ["plain,--threads", "plain,--theme"]
    assert offered("--threads", "2", "threads", "sh") == ["plain,show"]
    assert offered("--chat-template", "gem") == ["plain,gemma"]
    assert offered("--model", "") == ["file,"]
    assert offered("completion", "") == ["plain,bash", "plain,zsh", "plain,fish"]


@pytest.mark.parametrize("words", [("threads", "show"), ("threads", "delete", "x"), ("chat",),
                                   ("ask", "--thread")])  # fmt: skip
def test_threads_are_offered_by_title_or_by_id(words: tuple[str, ...], offered: Offered) -> None:
    save("one", "Where is the harbour?")
    save("two", "One, two")  # not every shell keeps the comma
    save("three", "Twice")
    save("four", "Twice")
    save("five", "-dash")
    save("six", "control \x1b[2J")
    offers = set(offered(*words, ""))
    assert offers == {
        "title,Where is the harbour?", "plain,two", "plain,three", "plain,four", "plain,five",
        "plain,six"}  # fmt: skip
    assert offered(*words, "on") == ["plain,one"]


def test_a_shell_that_shows_help_gets_the_title_with_the_id(offered: Offered) -> None:
    save("two", "One, two\x1b[2J")
    assert offered("threads", "show", "", to="zsh") == ["plain", "two", "One, two␛[2J"]
    assert offered("threads", "show", "t", to="fish") == ["plain,two\tOne, two␛[2J"]


async def test_completion_of_restore_offers_the_threads_in_the_trash(offered: Offered) -> None:
    storage = JsonFileStorage(paths.threads_dir())
    await storage.save("gone", ChatState(messages=(Message("1", "user", "Gone"),)))
    await storage.trash("gone")
    assert offered("threads", "restore", "") == ["plain,Gone"]
    assert offered("threads", "show", "") == []


def test_nothing_is_written_where_a_thread_is_damaged(offered: Offered) -> None:
    save("one", "Where is the harbour?")
    damaged = paths.threads_dir() / f"t-{'0' * 32}.json"
    damaged.write_text("[half")
    (paths.threads_dir() / "left.tmp").touch()
    paths.threads_dir().chmod(0o755)
    before = sorted(paths.threads_dir().iterdir())
    assert offered("threads", "show", "Wh") == ["title,Where is the harbour?"]
    assert sorted(paths.threads_dir().iterdir()) == before
    assert paths.threads_dir().stat().st_mode & 0o777 == 0o755


def test_completion_without_threads_or_with_encrypted_ones_offers_nothing(offered: Offered) -> None:
    assert offered("threads", "show", "") == []
    assert not paths.threads_dir().exists()
    paths.threads_dir().mkdir(parents=True)
    (paths.threads_dir() / KEY_FILE).write_text("{}")
    assert offered("threads", "show", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_KOEL_CHAT_COMPLETE={shell}_complete" in script and "koel-chat" in script
    assert (
        not shutil.which(shell)
        or subprocess.run([shell, "-n"], input=script.encode()).returncode == 0
    )


def test_a_shell_that_is_not_known_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'bash', 'zsh', 'fish'" in capsys.readouterr().err


def test_completion_does_not_import_the_program() -> None:
    code = (
        "import sys, os; os.environ.update(_KOEL_CHAT_COMPLETE='bash_complete',"
        "COMP_WORDS='koel-chat threads ', COMP_CWORD='2');"
        "from koel_tui.cli.main import main\n"
        "try: main([])\n"
        "except SystemExit: print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "plain,list" in done.stdout
    assert not {"textual", "pydantic", "koel_tui.storage"} & set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_writes_a_title_so_that_it_is_one_word(tmp_path: Path) -> None:
    save("one", "Where is (the) harbour?")
    (tmp_path / "threads").mkdir()  # a directory of this name has no effect
    path = f"{Path(PROGRAM).parent}:{os.environ['PATH']}"
    child = pexpect.spawn(
        "bash",
        ["--norc", "--noprofile"],
        env={**os.environ, "PATH": path, "PS1": "$ ", "TERM": "dumb"},
        cwd=tmp_path,
        encoding="utf-8",
        timeout=20,
        dimensions=(24, 200),
    )
    try:
        child.sendline('eval "$(koel-chat completion bash)"; set +o histexpand; echo rea""dy')
        child.expect_exact("ready\r\n")
        child.send("koel-chat thr\t")
        child.expect_exact("koel-chat threads ")
        child.send("sh\tWhe\t")
        child.expect_exact("show Where\\ is\\ \\(the\\)\\ harbour\\?")
        child.sendline("")
        child.expect_exact("Where is (the) harbour?")
    finally:
        child.close(force=True)
