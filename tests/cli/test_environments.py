"""`ask` in any environment: umask, locale, time zone, home, signals, limits, user.

The limits of a control group are not tested here, because creating a group needs privileges that
the suite cannot assume. `tests/engine/test_out_of_memory.py` tests the code that reads them.
"""

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.commands import PROGRAM

THREAD = {
    "messages": [{"id": str(number), "role": role, "content": "hello"}
                 for number, role in enumerate(("user", "assistant"))],
}  # fmt: skip
QUESTION = "Grüße, İstanbul"
Change = Callable[[dict[str, str], Path], str]
"""A function that changes an environment, and may use a folder.

It returns shell commands to run before the program.
"""


def variables(**values: str) -> Change:
    def change(environment: dict[str, str], folder: Path) -> str:
        environment.update(values)
        return ":"

    return change


def before(command: str) -> Change:
    return lambda environment, folder: command


def without_home(environment: dict[str, str], folder: Path) -> str:
    del environment["HOME"]
    return ":"


def home_with_spaces(environment: dict[str, str], folder: Path) -> str:
    home = folder / "a home with spaces"
    home.mkdir()
    for name in [name for name in environment if name.startswith("XDG_")]:
        del environment[name]
    environment["HOME"] = str(home)
    return ":"


def long_directory(environment: dict[str, str], folder: Path) -> str:
    deep = folder.joinpath(*["directory" * 12] * 20)
    deep.mkdir(parents=True)
    environment["TMPDIR"] = str(deep)
    return f"cd '{deep}'"


ENVIRONMENTS: dict[str, Change] = {
    "SIGINT ignored": before("trap '' INT"),
    "umask 000": before("umask 000"),
    "umask 077": before("umask 077"),
    "locale C": variables(LC_ALL="C", LANG=""),
    "locale C without UTF-8": variables(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "locale POSIX": variables(LC_ALL="POSIX"),
    "locale that is not installed": variables(LC_ALL="tr_TR.ISO-8859-9", LANG="de_DE"),
    "time zone with DST": variables(TZ="America/New_York"),
    "time zone of half an hour": variables(TZ="Asia/Kolkata"),
    "time zone that does not exist": variables(TZ="No/Where"),
    "no HOME": without_home,
    "HOME with spaces": home_with_spaces,
    "a long directory": long_directory,
    "stdin closed": before("exec <&-"),
    "few open files": before("ulimit -n 64"),
    "nice": before("renice -n 19 $$ >/dev/null || exit"),
    "a small terminal": variables(COLUMNS="1", LINES="1", TERM="dumb"),
    "colour forced": variables(FORCE_COLOR="1", CLICOLOR_FORCE="1", COLORTERM="truecolor"),
    "no colour": variables(NO_COLOR="1", TERM=""),
    "a fixed hash seed": variables(PYTHONHASHSEED="0"),
    "no runtime directory": variables(XDG_RUNTIME_DIR="/nowhere"),
}
BY_DEFAULT = ("SIGINT ignored", "umask 000", "locale C", "locale C without UTF-8", "few open files")


def ask(
    change: Change, tmp_path: Path, model: Path, launcher: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Import a thread and ask in it; `launcher` is a command that runs the program."""
    folder = tmp_path / "environment"
    folder.mkdir()
    environment = {**os.environ, "KOEL_THREADS": "1", "KOEL_TITLES": "false"}
    first = change(environment, folder)
    thread = folder / "thread.json"
    thread.write_text(json.dumps(THREAD))
    commands = f'{first}; "$1" threads import "$2" >&2 || exit; shift 2; exec "$@"'
    question = ("--model", str(model), "--max-output-tokens", "4", QUESTION)
    return subprocess.run(
        [*launcher, "bash", "-c", commands, "bash", PROGRAM, str(thread),
         PROGRAM, "ask", "--thread", "hello", *question],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=100, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.slow)
     for name in ENVIRONMENTS],
)  # fmt: skip
def test_a_thread_is_answered_and_saved_privately(
    name: str, tmp_path: Path, tiny_path: Path
) -> None:
    assert_answered(ask(ENVIRONMENTS[name], tmp_path, tiny_path), tmp_path)


def assert_answered(done: subprocess.CompletedProcess[bytes], folder: Path) -> list[Path]:
    """Check that the question was answered, and saved for its user only; return the files."""
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    assert b"\x1b" not in done.stdout
    saved = [path for path in folder.rglob("*.json") if "threads" in path.parts]
    assert any(QUESTION in path.read_text("utf-8") or "\\u00fc" in path.read_text("utf-8")
               for path in saved)  # fmt: skip
    for path in saved:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    return saved


NOBODY = 65534


def as_nobody() -> tuple[str, ...]:
    """Return a command that runs another command as a user without privileges."""
    if os.geteuid() != 0:
        pytest.skip("every test runs as a user without privileges")
    user = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    # Python may be in the home of root, where no other user can read.
    reading = ("--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search")
    for command in (user, (*user, *reading)):
        # `env` looks up the program without the privileges that `setpriv` still has.
        test = [*command, "env", PROGRAM, "--version"]
        try:
            done = subprocess.run(test, stdin=subprocess.DEVNULL, capture_output=True, cwd="/")
        except OSError:
            break
        if done.returncode == 0:
            return command
    pytest.skip("no other user can start the program here")


@pytest.mark.slow
def test_a_user_without_privileges_is_answered_too(tiny_path: Path) -> None:
    launcher = as_nobody()
    with tempfile.TemporaryDirectory(dir="/tmp") as name:  # other users cannot enter `tmp_path`
        folder = Path(name)
        model = Path(shutil.copy(tiny_path, folder))

        def change(environment: dict[str, str], _: Path) -> str:
            for name in [name for name in environment if name.startswith("XDG_")]:
                del environment[name]
            environment |= {"HOME": str(folder), "TMPDIR": str(folder)}
            return f'cd "$HOME" && test "$(id -u)" -eq {NOBODY} || exit'

        os.chown(folder, NOBODY, NOBODY)
        saved = assert_answered(ask(change, folder, model, launcher), folder)
        assert {path.stat().st_uid for path in saved} == {NOBODY}


@pytest.mark.parametrize(
    "command",
    ["threads list", "models list", "config show",
     pytest.param("doctor", marks=pytest.mark.slow)],
)  # fmt: skip
def test_a_silent_stdin_is_not_read(
    command: str, tiny_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOEL_MODEL", str(tiny_path))
    reading, writing = os.pipe()
    try:
        done = subprocess.run(
            [PROGRAM, *command.split()], stdin=reading, capture_output=True, timeout=30
        )
    finally:
        os.close(reading)
        os.close(writing)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()


def test_a_home_that_cannot_be_written_is_one_message(tmp_path: Path, tiny_path: Path) -> None:
    """A regular file replaces the directory, so root cannot write there either."""
    (tmp_path / "file").touch()

    def change(environment: dict[str, str], folder: Path) -> str:
        for name in [name for name in environment if name.startswith("XDG_")]:
            environment[name] = str(tmp_path / "file" / "below")
        environment["HOME"] = str(tmp_path / "file")
        return ":"

    done = ask(change, tmp_path, tiny_path)
    assert done.returncode not in (0, -signal.SIGABRT, 128 + signal.SIGSEGV)
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith(b"koel-chat: ") and done.stderr.count(b"\n") == 1


ASCII_ONLY = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("shown", [{}, {"PYTHONIOENCODING": "ascii:strict"}])
def test_text_in_another_language_passes_where_python_uses_ascii(
    shown: dict[str, str], tmp_path: Path, tiny_path: Path
) -> None:
    """The text is in the names of a model file and a thread, and in messages."""
    model = tmp_path / "Größe.gguf"
    model.symlink_to(tiny_path)
    thread = tmp_path / "thread.json"
    said = [{"id": "0", "role": "user", "content": QUESTION}]
    thread.write_text(json.dumps({"messages": said, "title": QUESTION}))

    def koel(*arguments: str | Path, piped: str = "") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [PROGRAM, *arguments], input=piped.encode(), capture_output=True, timeout=100,
            env={**os.environ, **ASCII_ONLY, **shown, "KOEL_TITLES": "false"},
        )  # fmt: skip

    imported = koel("threads", "import", thread)
    assert imported.returncode == 0, imported.stderr.decode()
    question = ["Straße"] if shown else []
    asked = koel("ask", "--thread", QUESTION, "--model", model, "--max-output-tokens", "4",
                 *question, piped="" if shown else "Straße")  # fmt: skip
    assert asked.returncode == 0, asked.stderr.decode()
    listed = koel("threads", "list")
    assert (listed.returncode, QUESTION.encode() in listed.stdout) == (0, True), listed
    (saved,) = (path for path in tmp_path.rglob("*.json") if "threads" in path.parts)
    texts = [each["content"] for each in json.loads(saved.read_bytes())["state"]["messages"]]
    assert texts[:2] == [QUESTION, "Straße"]
