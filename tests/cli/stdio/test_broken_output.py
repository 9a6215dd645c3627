"""Broken output, report 24: any locale, a reader that ends early, a full disk, a broken stderr."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from koel_tui.cli import wiring
from koel_tui.cli.main import run
from koel_tui.cli.stdio import reading
from koel_tui.cli.stdio.streams import flush_standard_streams
from tests.cli.asking import Playing, answer_of
from tests.cli.commands import PROGRAM, save
from tests.cli.stdio.piping import piped, stdin_of
from tests.ui.scripted import Turn

EMOJI = "Grüße 🎉 und 漢字."
FULL = Path("/dev/full")
NEEDS_FULL = pytest.mark.skipif(not FULL.exists(), reason="no file here is always full")
PRINTING = [
    ("threads", "list"),
    ("threads", "list", "--json"),
    ("threads", "show", "sea"),
    ("threads", "show", "sea", "--json"),
    ("threads", "search", "harbour"),
    ("threads", "search", "harbour", "--json"),
    ("threads", "export", "sea", "--output", "-"),
    ("threads", "export", "sea", "--output", "-", "--format", "json"),
    ("threads", "export", "sea", "--output", "-", "--format", "html"),
    ("models", "list"),
    ("models", "list", "--json"),
    ("config", "show"),
    ("config", "path"),
    ("completion", "bash"),
    ("--help",),
    ("ask", "--help"),
    ("--version",),
]
IN_DEFAULT_RUN = (("threads", "show", "sea"), ("--help",))
COMMANDS = [
    pytest.param(words, id=" ".join(words), marks=[] if words in IN_DEFAULT_RUN else
                 [pytest.mark.slow])
    for words in PRINTING
]  # fmt: skip


@pytest.fixture(autouse=True)
def thread(private_home: Path) -> None:
    save("sea", f"Where is the harbour? {EMOJI}", f"{EMOJI} " * 99)


def program(
    words: tuple[str, ...], environment: dict[str, str], stdout: int | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PROGRAM, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=60,
        stdout=subprocess.PIPE if stdout is None else stdout, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize(
    "encoding",
    ["iso-8859-1", "iso-8859-1:surrogateescape", "ascii:strict", "utf-8:strict", "koi8-r"],
)
def test_report_24_every_command_prints_in_every_encoding(
    words: tuple[str, ...], encoding: str
) -> None:
    done = program(words, {"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout
    if "--json" in words or "json" in words:
        text = done.stdout.decode("ascii")
        assert "?" not in text.replace("harbour?", "")
        assert [json.loads(line) for line in text.splitlines()]
    if "export" in words:
        assert EMOJI in done.stdout.decode() or "json" in words


@pytest.fixture(scope="session")
def latin_1_locale(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Create a German locale in ISO-8859-1; return the environment variables that select it."""
    name, folder = "de_DE.ISO-8859-1", tmp_path_factory.mktemp("locale")
    command = ["localedef", "-f", "ISO-8859-1", "-i", "de_DE", str(folder / name)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    except OSError:
        pytest.skip("there is no localedef")
    if done.returncode:
        pytest.skip("the locale cannot be made here")
    return {"LC_ALL": name, "LOCPATH": str(folder)}


@pytest.mark.slow
def test_report_24_a_latin_1_locale_is_read_and_written(
    latin_1_locale: dict[str, str], tiny_path: Path, tmp_path: Path
) -> None:
    options = ("--model", str(tiny_path), "--max-output-tokens", "4", "--thread", "sea")
    done = piped(
        "ask", os.fsdecode("Schöne".encode("latin-1")), *options,
        data="Grüße und Brücken\n".encode("latin-1"), environment=latin_1_locale,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"piped" not in done.stderr and b"not UTF-8" not in done.stderr
    shown = program(("threads", "show", "sea"), latin_1_locale)
    assert (shown.returncode, shown.stderr) == (0, b"")
    text = shown.stdout.decode("latin-1")
    assert "Schöne\n\nGrüße und Brücken\n" in text and "Grüße ? und ??." in text
    exported = program(("threads", "export", "sea", "--output", str(tmp_path)), latin_1_locale)
    assert (exported.returncode, exported.stderr) == (0, b"")
    assert EMOJI in Path(os.fsdecode(exported.stdout.strip())).read_text()
    listed = program(("threads", "list", "--json"), latin_1_locale)
    assert EMOJI[:5] in json.loads(listed.stdout)["title"]


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "xx_YY"])
def test_report_24_every_locale_shows_the_thread(locale: str) -> None:
    """A locale that is not installed behaves like C."""
    done = program(("threads", "show", "sea"), {"LC_ALL": locale})
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"Gr") == 100


@pytest.mark.parametrize("words", COMMANDS)
def test_report_24_a_reader_that_ends_first_causes_no_error_message(words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = program(words, {}, writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_report_24_head_ends_a_command(unbuffered: str) -> None:
    save("long", "Where is the harbour?", f"{EMOJI} " * 9999)  # exceeds the capacity of a pipe
    command = f"{PROGRAM} threads show long | (sleep 1; head -1); echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"You:\n141\n", b"")


@NEEDS_FULL
@pytest.mark.parametrize("words", COMMANDS)
def test_report_24_output_that_cannot_be_written_is_named(words: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        done = program(words, {}, full.fileno())
    assert (done.returncode, done.stderr) == (
        74, b"koel-chat: The output cannot be written: No space left on device.\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("threads", "list", "--jsno"), 2),
        pytest.param(("ask", "Hi", "--json", "--jsno"), 2, marks=pytest.mark.slow),
        pytest.param(("threads", "show", "none"), 2, marks=pytest.mark.slow),
        pytest.param(("ask", "Hi", "--model", "/nowhere.gguf"), 66, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("target", ["closed pipe", pytest.param("full", marks=NEEDS_FULL)])
def test_report_24_an_error_that_cannot_be_printed_keeps_its_exit_code(
    words: tuple[str, ...], code: int, target: str
) -> None:
    command = f"{PROGRAM} {' '.join(words)}"
    full = f"{command} > /dev/full 2>&1"
    pipe = f"{command} 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", full if target == "full" else pipe], stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&-"])
def test_report_24_a_closed_stream_causes_no_error(closed: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{PROGRAM} threads show sea {closed}"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


# ask


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs `ask` in this process; the answer has emoji and kanji."""

    def play(turn: Turn) -> None:
        for piece in (EMOJI[:7], EMOJI[7:]):
            turn.write(piece)
        turn.finish("end")

    monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(play))
    monkeypatch.setattr(sys, "stdin", stdin_of(b""))

    def ask(*words: str) -> int:
        return run(["ask", "Hi", *words])

    return ask


def test_report_24_characters_that_the_locale_lacks_are_counted(
    ask: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stdin_of(b"", "iso-8859-1")
    out.reconfigure(errors="replace")
    monkeypatch.setattr(sys, "stdout", out)
    assert ask() == 0
    assert out.buffer.getvalue() == "Grüße ? und ??.\n".encode("latin-1")  # type: ignore[attr-defined]
    assert capsys.readouterr().err == (
        "koel-chat: 3 characters of the answer cannot be written in iso-8859-1: each became a "
        "question mark. Use a UTF-8 locale, for example LC_ALL=C.UTF-8.\n"
    )


def test_report_24_json_loses_no_character(
    ask: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = stdin_of(b"", "iso-8859-1")
    monkeypatch.setattr(sys, "stdout", out)
    assert ask("--json") == 0
    assert answer_of(out.buffer.getvalue().decode("ascii"))["text"] == EMOJI  # type: ignore[attr-defined]
    assert capsys.readouterr().err == ""


def test_report_24_utf_8_needs_no_notice(
    ask: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask() == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{EMOJI}\n", "")


# A stderr whose writes fail


def open_broken(target: str) -> int:
    """Return a descriptor that fails at every write."""
    if target == "full":
        return os.open(FULL, os.O_WRONLY)
    closed, number = os.pipe()
    os.close(closed)
    return number


@contextmanager
def broken_stderr(target: str) -> Iterator[None]:
    """Use a stderr whose writes fail; flush it at the end as the program does.

    It cannot be a fixture, because pytest sets stderr between the fixtures and the test.
    """
    with os.fdopen(open_broken(target), "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        yield
        assert flush_standard_streams()


TARGETS = pytest.mark.parametrize("target", ["closed pipe", pytest.param("full", marks=NEEDS_FULL)])


def play_cut_answer(turn: Turn) -> None:
    turn.write(EMOJI)
    turn.finish("length")


@TARGETS
@pytest.mark.parametrize("data", [b"", b"caf\xe9 "])
def test_report_24_a_notice_that_cannot_be_printed_keeps_the_answer(
    target: str, data: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The notices report that the answer was cut, and that a piped byte was replaced."""
    monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(play_cut_answer))
    monkeypatch.setattr(sys, "stdin", stdin_of(data))
    with broken_stderr(target):
        assert run(["ask", "Hi"]) == 0
    assert capsys.readouterr().out == f"{EMOJI}\n"


@TARGETS
@pytest.mark.usefixtures("ask")
def test_report_24_a_waiting_line_that_cannot_be_printed_is_not_a_usage_error(
    target: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reading, "_SILENCE_S", 0.05)
    read_end, write_end = os.pipe()
    threading.Timer(0.3, os.close, [write_end]).start()
    with os.fdopen(read_end) as stream, broken_stderr(target):
        monkeypatch.setattr(sys, "stdin", stream)
        assert run(["ask", "Hi"]) == 0
    assert capsys.readouterr().out == f"{EMOJI}\n"


@TARGETS
def test_report_24_a_usage_error_that_cannot_be_printed_is_in_the_object(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with broken_stderr(target):
        assert run(["ask", "Hi", "--json", "--jsno"]) == 2
    assert "--jsno" in answer_of(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("words", "code"),
    [(("threads", "search", "nothing-like-this"), 0), (("threads", "import", "none.json"), 66)],
)
@TARGETS
def test_report_24_a_notice_of_another_command_does_not_change_its_exit_code(
    target: str, words: tuple[str, ...], code: int
) -> None:
    with broken_stderr(target):
        assert run(list(words)) == code


@pytest.mark.slow
@TARGETS
def test_report_24_the_program_prints_a_cut_answer_without_stderr(
    target: str, tiny_path: Path
) -> None:
    number = open_broken(target)
    options = ("--model", str(tiny_path), "--max-output-tokens", "4", "--temperature", "0")
    try:
        done = subprocess.run(
            [PROGRAM, "ask", "Hi", *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=number, timeout=60, env={**os.environ, "KOEL_THREADS": "1"},
        )  # fmt: skip
    finally:
        os.close(number)
    assert done.returncode == 0 and done.stdout.strip()
