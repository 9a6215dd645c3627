"""The help of every command: its width, its first line, and its completeness."""

import re
from enum import StrEnum

import click
import pytest

from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.main import run
from koel_tui.storage.interchange import ExportFormat, ImportFormat
from tests.cli.commands import every_command


@pytest.mark.parametrize("words", [words for words, _ in every_command()], ids=" ".join)
def test_the_help_fits_80_columns_and_begins_with_a_summary(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].startswith(" ".join(["Usage: koel-chat", *words]))
    summary = lines[2]
    assert re.fullmatch(r"  [A-Z].*[.]", summary), f"no sentence of one line: {summary}"
    assert not [line for line in lines[1:] if line.endswith("...")]


def test_every_exit_code_and_variable_is_in_the_main_help(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for code in Exit:
        assert re.search(rf"^ +{int(code)} +[a-z]", text, re.MULTILINE), code
    for name in ("KOEL_NAME", "KOEL_PASSPHRASE_FILE", "NO_COLOR", "EDITOR"):
        assert name in text


@pytest.mark.parametrize(
    ("command", "formats"), [("export", ExportFormat), ("import", ImportFormat)]
)
def test_a_thread_has_every_format_that_there_is(command: str, formats: type[StrEnum]) -> None:
    params = dict(every_command())["threads", command].params
    (form,) = (each.type for each in params if each.name == "format_name")
    assert isinstance(form, click.Choice) and [*form.choices] == [*formats]
