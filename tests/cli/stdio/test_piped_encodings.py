"""Input in any encoding, report 24: piped text, arguments, and data that is not text."""

import gzip
import json
import os
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.cli import ask_question, wiring
from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.main import run
from koel_tui.cli.stdio.decoding import decode_text
from tests.cli.asking import Playing, answer_of
from tests.cli.commands import PROGRAM, Said, save
from tests.cli.stdio.piping import NO_MODEL, piped, stdin_of
from tests.ui.scripted import Turn

GERMAN = "Die Straße führt über die Brücke.\n"
RUSSIAN = "Дорога ведёт через мост, потом через лес.\n"
JAPANESE = "道は橋を渡って、森に入る。そして丘へ。\n"
PDF = b"%PDF-1.7\n1 0 obj << /Type /Catalog >> endobj\n"


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE, "Plain words.\n", "🎉 party\n"])
def test_report_24_text_in_every_unicode_encoding_is_read(text: str, encoding: str) -> None:
    if "16-" in encoding and text[0] == "🎉":
        text = "A party today: 🎉\n"  # the byte order is detected from letters
    found = decode_text(text.encode(encoding), "utf-8")
    assert (found.text, found.replaced) == (text, 0)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(GERMAN, "iso-8859-1"), (GERMAN, "cp1252"), (RUSSIAN, "koi8-r"), (JAPANESE, "euc_jp")],
)
def test_report_24_text_in_the_encoding_of_the_locale_is_read(text: str, encoding: str) -> None:
    found = decode_text(text.encode(encoding), encoding)
    assert (found.text, found.replaced) == (text, 0)
    assert decode_text(text.encode(), encoding).text == text, "UTF-8 has priority"


@pytest.mark.parametrize(
    ("data", "text", "replaced"),
    [
        (b"caf\xe9", "caf\ufffd", 1),
        (GERMAN.encode("latin-1"), "Die Stra\ufffde f\ufffdhrt \ufffdber die Br\ufffdcke.\n", 4),
        ("Das ist eine Brücke".encode()[:-4], "Das ist eine Br\ufffd", 1),
        ("own \ufffd and ".encode() + b"\xff", "own \ufffd and \ufffd", 1),
        ("Halb".encode("utf-16") + b"i", "Halb\ufffd", 1),
        (b"one\0two\0three and more\0", "one\ntwo\nthree and more\n", 0),
        (b"before a crash\n" + bytes(9) + b"after it", "before a crash\n\nafter it", 0),
        (b"a\r\nb\rc\n", "a\nb\nc\n", 0),
        (b"\x1b[1mbold\x1b[0m\n", "\x1b[1mbold\x1b[0m\n", 0),
        (b"", "", 0),
        (b"\xe9t\xe9", "\ufffdt\ufffd", 2),
        (b"\xef\xbb\xbfhi\xff", "hi\ufffd", 1),
        (b"%PDF- is the magic number\n", "%PDF- is the magic number\n", 0),
        (b"{\\rtf is how RTF begins\n", "{\\rtf is how RTF begins\n", 0),
    ],
)
def test_report_24_undecodable_bytes_are_replaced_and_counted(
    data: bytes, text: str, replaced: int
) -> None:
    found = decode_text(data, "utf-8")
    assert (found.text, found.replaced) == (text, replaced)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (PDF, "a PDF document, not text. Pipe its text instead: pdftotext FILE -"),
        (b"{\\rtf1\\ansi Hello}", "a rich text document"),
        (gzip.compress(b"text" * 99), "gzip data, not text. Pipe its text instead: gzip -dc"),
        (b"PK\x03\x04\x14\0\x06\0\x08\0", "a zip file or an office document"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "a PNG image"),
        (b"SQLite format 3\0\x10\0\x01\x01\0@  ", "an SQLite database"),
        (b"name".ljust(257, b"\0") + b"ustar  \0" + b"text " * 999, "a tar archive"),
        (b"\x7fELF\x02\x01\x01" + bytes(64), "a program"),
        (b"GGUF\x03\0\0\0" + bytes(64), "a model file"),
        (bytes(100), "binary data, not text"),
        (bytes(range(256)) * 20, "binary data, not text"),
        (zlib.compress(bytes(range(256)) * 9), ""),
        (b"{\\rtf\\ansi Hello}", "a rich text document"),
        ("мост".encode("koi8-r"), "not UTF-8: 4 of its 4 characters cannot be read. Convert it"),
        (RUSSIAN.encode("koi8-r"), "not UTF-8: 31 of its 41 characters cannot be read. Convert it"),
        (JAPANESE.encode("shift_jis"), "Convert it first, for example with: iconv -f latin1"),
    ],
    ids=[
        *("pdf", "rtf", "gzip", "zip", "png", "sqlite", "tar", "elf", "gguf", "zeros", "bytes"),
        *("zlib", "rtf-without-version", "koi8-short", "koi8", "shift-jis"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "no such encoding"])
def test_report_24_data_that_is_not_text_is_refused_by_name(
    data: bytes, named: str, encoding: str
) -> None:
    with pytest.raises(UsageProblem, match="text") as refused:
        decode_text(data, encoding)
    assert named in str(refused.value)


def test_report_24_data_that_is_not_text_is_refused_in_any_locale() -> None:
    for data in (PDF, gzip.compress(b"text" * 99), bytes(100), bytes(range(256)) * 20):
        with pytest.raises(UsageProblem):
            decode_text(data, "iso-8859-1")


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "iso-8859-1", "gbk", "utf-16", "cp037"]))
def test_report_24_any_bytes_are_text_or_refused(data: bytes, encoding: str) -> None:
    try:
        found = decode_text(data, encoding)
    except UsageProblem:
        return
    found.text.encode()
    assert 0 <= found.replaced <= len(found.text)
    assert "\r" not in found.text and "\0" not in found.text


# The command

Ask = Callable[..., Said]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Return a function that runs `ask` in this process with piped bytes; it echoes its prompt."""

    def echo(turn: Turn) -> None:
        turn.write(str(turn.prompt))
        turn.finish("end")

    monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(echo))

    def ask(data: bytes, *words: str, encoding: str = "utf-8") -> Said:
        monkeypatch.setattr("sys.stdin", stdin_of(data, encoding))
        code = run(["ask", *words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return ask


def test_report_24_a_latin_1_byte_is_answered_with_a_notice(ask: Ask) -> None:
    said = ask(b"caf\xe9", "Summarise")
    assert (said.code, said.out) == (0, "Summarise\n\ncaf\ufffd\n")
    assert said.err == (
        "koel-chat: 1 character of the piped text is not valid UTF-8 and was replaced by \ufffd. "
        "If the text has another encoding, convert it, for example with: "
        "iconv -f latin1 -t utf-8\n"
    )
    said = ask(GERMAN.encode("latin-1"), "--json")
    assert said.code == 0 and "\ufffd" in answer_of(said.out)["text"]
    assert "4 characters of the piped text are not valid UTF-8 and were" in said.err


def test_report_24_no_part_of_a_text_is_sent_if_the_rest_was_not_read(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The byte limit applies first: a line end has 8 bytes, but counts as one character."""
    monkeypatch.setattr(ask_question, "MAX_PIPED_CHARACTERS", 10)
    said = ask(("ab\r\n" * 5).encode("utf-32"))
    assert (said.code, said.out) == (2, "")
    assert "more than 10 characters. Pipe only a part of it." in said.err
    for text in ("\U0001f600" * 10, "ab\r\n" * 2):
        said = ask(text.encode("utf-32"))
        assert (said.code, said.out) == (0, f"{text}\n".replace("\r", ""))


def test_report_24_text_in_the_encoding_of_the_locale_needs_no_notice(ask: Ask) -> None:
    said = ask(GERMAN.encode("latin-1"), encoding="iso-8859-1")
    assert (said.code, said.out.strip(), said.err) == (0, GERMAN.strip(), "")


@pytest.mark.parametrize("json", [False, True])
def test_report_24_a_pdf_is_a_usage_error(json: bool, ask: Ask) -> None:
    said = ask(PDF, "Summarise", *["--json"] * json)
    assert said.code == 2
    assert said.err == (
        "koel-chat: stdin is a PDF document, not text. Pipe its text instead: pdftotext FILE -\n"
    )
    assert not json or "PDF" in answer_of(said.out)["error"]


def test_report_24_a_question_that_is_not_utf_8_is_answered_with_a_notice(ask: Ask) -> None:
    question = os.fsdecode(b"caf\xe9?")
    said = ask(b"", question)
    assert (said.code, said.out) == (0, "caf\ufffd?\n")
    assert said.err == (
        "koel-chat: The question has bytes that are not UTF-8. They were replaced by \ufffd.\n"
    )


BAD = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("ask", "--system", BAD, "Hi"), 0),
        (("ask", "--thread", BAD, "Hi"), 2),
        (("ask", "--model", BAD, "Hi"), 66),
        (("ask", "Hi", BAD), 2),
        (("ask", f"--{BAD}", "Hi"), 2),
        (("ask", "--temperature", BAD, "Hi"), 2),
        (("threads", "show", BAD), 2),
        (("threads", "search", BAD), 0),
        (("threads", "search", "--json", BAD), 0),
        (("threads", "rename", "sea", BAD), 0),
        (("threads", "delete", BAD), 2),
        (("threads", "restore", BAD), 2),
        (("threads", "export", BAD), 2),
        (("threads", "export", "sea", "--output", f"/nowhere/{BAD}"), 74),
        (("threads", "import", BAD), 66),
        (("models", "probe", BAD), 66),
        (("models", "remove", BAD), 2),
        (("models", "pull", BAD), 66),
        ((BAD,), 2),
        (("--theme", BAD, "chat"), 2),
    ],
)
def test_report_24_an_argument_that_is_not_utf_8_fails_no_command(
    words: tuple[str, ...], code: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def play(turn: Turn) -> None:
        turn.write("Well.")
        turn.finish("end")

    if "--model" not in words:
        monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(play))
    monkeypatch.setattr("sys.stdin", stdin_of(b""))
    save("sea", "Where is the sea?", "Down the hill.")
    capsys.readouterr()
    assert run(list(words)) == code
    said = capsys.readouterr()
    assert "internal error" not in said.err
    said.out.encode()
    said.err.encode()


def test_report_24_a_thread_is_found_by_the_bytes_that_it_was_named_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    save("sea", "Where is the sea?", "Down the hill.")
    assert run(["threads", "rename", "sea", BAD]) == 0
    assert run(["threads", "show", BAD]) == 0
    assert "Where is the sea?" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_report_24_the_program_reads_bytes_in_any_locale(
    environment: dict[str, str], tiny_path: Path
) -> None:
    options = ("--model", str(tiny_path), "--max-output-tokens", "4")
    done = piped("ask", "Summarise", *options, data=b"caf\xe9", environment=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert b"1 character of the piped text is not valid UTF-8" in done.stderr
    done = piped("ask", "Summarise", *options, data=b"one\0two", environment=environment)
    assert (done.returncode, b"piped" in done.stderr) == (0, False)


@pytest.mark.slow
def test_report_24_a_model_file_whose_name_is_not_utf_8_can_be_used(
    tiny_path: Path, tmp_path: Path
) -> None:
    model = tmp_path / f"{BAD}.gguf"
    model.symlink_to(tiny_path)
    done = subprocess.run(
        [PROGRAM, "ask", "Hi", "--json", "--max-output-tokens", "4", "--model", model],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["model"] == "caf\ufffd"


def test_report_24_the_program_refuses_data_that_is_not_text() -> None:
    done = piped("ask", "Summarise", *NO_MODEL, data=PDF)
    assert (done.returncode, b"a PDF document" in done.stderr) == (2, True)
