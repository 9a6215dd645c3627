"""`koel-chat doctor`: it finds problems, names the action to take, and changes nothing."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
from rich.console import Console

from koel_tui import paths
from koel_tui.cli.doctor import checks, directories, engine, models, settings, terminal, threads
from koel_tui.cli.doctor.findings import Finding, Mark, Report, Section, problem, warning
from koel_tui.cli.doctor.report import table
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.main import run
from koel_tui.settings import load_settings
from tests.cli.doctor.doctor_report import CANARY, tree
from tests.engine.tiny_models import write_sliding_model
from tests.models.gguf_file import write_gguf


def printed(report: Report, width: int = 80) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as shown:
        console.print(table(report))
    return shown.get()


def test_doctor_reports_no_problem_on_a_new_computer_and_changes_nothing(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = write_sliding_model(tmp_path / "tiny.gguf")
    monkeypatch.setenv("KOEL_MODEL", str(model))
    before = tree(private_home)
    assert run(["doctor", "--json"]) == 0
    assert tree(private_home) == before
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["version"], said["ok"], said["exit"]) == (1, True, 0)
    keys = {"section", "name", "mark", "found", "advice", "code"}
    assert all(set(each) == keys for each in said["checks"])
    found = {(each["section"], each["name"]): each for each in said["checks"]}
    assert {section for section, _ in found} == {
        "Terminal", "Directories", "Configuration", "Models", "Engine", "Threads", "Versions",
    }  # fmt: skip
    assert "tiny.gguf loaded in" in found["Engine", "start"]["found"]
    assert found["Engine", "llama.cpp"]["mark"] == "ok"
    assert found["Versions", "textual"]["mark"] == "ok"


# Terminal

GOOD = terminal.Terminal(True, {"TERM": "xterm-kitty"}, 120, 40, "truecolor", "UTF-8", "xclip", "")


def marked(found: terminal.Terminal) -> dict[str, str]:
    return {each.name: each.found for each in terminal.evaluate(found) if each.mark is not Mark.OK}


def test_doctor_a_good_terminal_has_no_warning() -> None:
    assert marked(GOOD) == {}


@pytest.mark.parametrize(
    ("changed", "environ", "name"),
    [
        ({"is_terminal": False}, {}, "terminal"),
        ({}, {"TERM": "dumb"}, "terminal"),
        ({}, {"TERM": ""}, "terminal"),
        ({"columns": 59}, {}, "size"),
        ({"rows": 14}, {}, "size"),
        ({"columns": 0}, {}, "size"),
        ({"colours": None}, {}, "colours"),
        ({"colours": "256"}, {}, "colours"),
        ({"encoding": "ISO-8859-1"}, {}, "characters"),
        ({}, {"TERM": "linux"}, "focus"),
        ({"tmux_focus": "off"}, {"TMUX": "x"}, "focus"),
        ({"tmux_focus": ""}, {"TMUX": "x"}, "focus"),
    ],
)
def test_doctor_each_lack_of_a_terminal_is_a_warning(
    changed: Mapping[str, Any], environ: Mapping[str, str], name: str
) -> None:
    found = replace(GOOD, **changed, environ={**GOOD.environ, **environ})
    assert name in marked(found)
    assert all(each.mark is not Mark.PROBLEM for each in terminal.evaluate(found))


def test_doctor_says_that_the_focus_option_of_tmux_is_not_known() -> None:
    environ = {**GOOD.environ, "TMUX": "x"}
    assert "not known" in marked(replace(GOOD, tmux_focus="", environ=environ))["focus"]
    assert "does not" in marked(replace(GOOD, tmux_focus="off", environ=environ))["focus"]


def test_doctor_reports_multiplexers_and_ssh_and_the_clipboard_method() -> None:
    environ = {"TERM": "tmux", "TMUX": "x", "SSH_TTY": "y", "DISPLAY": ":0"}
    away = replace(GOOD, clipboard="", tmux_focus="on", environ=environ)
    said = {each.name: f"{each.found} {each.advice}" for each in terminal.evaluate(away)}
    assert said["between"].startswith("tmux, ssh")
    assert "tmux, which sends it" in said["clipboard"] and "xclip" not in said["clipboard"]
    here = replace(GOOD, clipboard="", environ={"DISPLAY": ":0"})
    assert "install xclip" in " ".join(each.advice for each in terminal.evaluate(here))


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"TERM": "tmux-256color", "SSH_TTY": "y"}, "set -g set-clipboard on"),
        ({"TERM": "screen", "STY": "1.pts-0.host"}, "through the terminal (OSC 52)"),
        ({"TERM": "linux"}, "this terminal has none"),
    ],
)
def test_report_06_doctor_names_the_clipboard_of_each_terminal(
    environ: dict[str, str], words: str
) -> None:
    findings = terminal.evaluate(replace(GOOD, clipboard="", environ=environ))
    (finding,) = [each for each in findings if each.name == "clipboard"]
    assert words in f"{finding.found} {finding.advice}"


def test_report_06_doctor_asks_tmux_for_the_terminal_that_is_attached_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """xclip is not used to copy when a session that began on the desktop is attached over ssh."""
    for name, script in (("xclip", ""), ("tmux", "echo SSH_CONNECTION=1 2 3 4; echo DISPLAY=:9")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("SSH_TTY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert terminal.inspect().clipboard == "xclip"
    monkeypatch.setenv("TMUX", "/socket,1,0")
    found = terminal.inspect()
    assert found.clipboard == ""
    said = {each.name: each.found for each in terminal.evaluate(found)}
    assert "ssh" in said["between"] and said["clipboard"].startswith("tmux")


# Directories

PLACE = directories.DirectoryState(
    "data", Path("/d"), Path("/d"), exists=True, free=10**9, file_system="ext4"
)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, Exit.OK),
        ({"is_directory": False}, Exit.NO_DIRECTORY),
        ({"is_ours": False}, Exit.NO_DIRECTORY),
        ({"is_writable": False}, Exit.NO_DIRECTORY),
        ({"is_writable": False, "exists": False}, Exit.NO_DIRECTORY),
        ({"mode": 0o770}, Exit.NO_DIRECTORY),
        ({"free": 4096}, Exit.SAVE_FAILED),
    ],
)
def test_doctor_each_problem_of_a_directory_has_an_exit_code(
    changed: Mapping[str, Any], code: Exit
) -> None:
    found = directories.evaluate(replace(PLACE, **changed))
    assert found.code is code and bool(found.advice) is (code is not Exit.OK)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": 0o755}, "can read it"),
        ({"free": 5_000_000}, "Free some disk space"),
        ({"file_system": "nfs4"}, "locks"),
        ({"link": "/elsewhere"}, "made this link"),
    ],
)
def test_doctor_an_unusual_directory_is_a_warning(changed: Mapping[str, Any], words: str) -> None:
    found = directories.evaluate(replace(PLACE, **changed))
    assert found.mark is Mark.WARNING and words in found.advice


def test_doctor_looks_at_directories_as_they_are(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    there = directories.inspect("data", private)
    assert (there.exists, there.mode, there.is_ours, there.is_writable) == (True, 0o700, True, True)
    assert there.free > 0 and there.file_system
    absent = directories.inspect("data", private / "a" / "b")
    assert (absent.exists, absent.parent, absent.is_directory) == (False, private, True)
    (tmp_path / "link").symlink_to(private)
    assert directories.inspect("data", tmp_path / "link").link == str(private)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "nowhere"):
        assert directories.evaluate(directories.inspect("data", path)).code is Exit.NO_DIRECTORY


# Configuration


@pytest.mark.parametrize(
    "text",
    [f"{CANARY} is no toml", f"parallel = '{CANARY}'", f"modle = '{CANARY}'",
     f'[keys]\n"tab.new" = "{CANARY} {CANARY}"', "a = [" * 10_000, "\x00", "parallel = 10000"],
)  # fmt: skip
def test_doctor_an_invalid_configuration_exits_with_78_and_prints_no_value(text: str) -> None:
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text(text)
    first, *_ = settings.evaluate(settings.inspect())
    assert first.code is Exit.BAD_CONFIG and first.found
    assert CANARY not in first.found or "keys" in text


def test_doctor_an_unknown_variable_gets_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOEL_THEEM", CANARY)
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", "/somewhere")
    _, variables = settings.evaluate(settings.inspect())
    assert variables.mark is Mark.WARNING and "KOEL_THEME" in variables.advice
    assert CANARY not in variables.found and "KOEL_PASSPHRASE" not in variables.found


def test_doctor_a_folder_of_models_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOEL_MODEL_FOLDERS", "/nowhere/at/all")
    assert settings.evaluate(settings.inspect())[-1].found.startswith("/nowhere/at/all")


# Models and engine


def test_doctor_models_are_looked_into(
    tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(private_home / "models" / "good.gguf")
    (private_home / "models" / "bad.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("KOEL_MODEL", str(private_home / "models" / "bad.gguf"))
    _, chosen, found = models.evaluate(models.inspect(load_settings()))
    assert chosen.code is Exit.NO_MODEL and "cut off" in chosen.found
    assert found.mark is Mark.WARNING and found.found.endswith("unusable: bad")
    monkeypatch.setenv("KOEL_MODEL", "good")
    assert "not tested" in models.evaluate(models.inspect(load_settings()))[1].found


async def test_doctor_an_engine_that_does_not_start_is_reported(tmp_path: Path) -> None:
    good = write_sliding_model(tmp_path / "good.gguf")
    bad = tmp_path / "bad.gguf"
    shutil.copy(good, bad)
    reader = gguf.GGUFReader(bad, "r+")
    field = reader.fields["gemma3.block_count"]
    field.parts[field.data[0]][0] = 513
    reader.data.flush()
    trial = await engine.run_engine_test(load_settings(), bad)
    found = engine.evaluate(trial)
    assert found.code in (Exit.ENGINE_DIED, Exit.NO_MODEL)
    assert "Details are in" not in found.found and found.advice


# The whole report


def test_doctor_one_check_that_fails_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> object:
        raise ValueError(CANARY)

    monkeypatch.setattr(threads, "inspect", broken)
    monkeypatch.setattr(checks, "_models", lambda *_: ())
    report = checks.run_checks(threads.ThreadAccess(), lambda words: None)
    assert report.code is Exit.INTERNAL
    assert CANARY not in json.dumps(report.as_json())
    assert report.sections[-1].title == "Versions" and report.sections[-1].findings


@pytest.mark.parametrize("width", [80, 60])
def test_doctor_the_table_fits_and_shows_names_as_they_are(width: int) -> None:
    report = Report((
        Section("First", (Finding("a", "[red]x[/red] \x1b]0;evil\x07 \u202e"),
                          warning("b", "w" * 200, "advice"))),
        Section("Second", (problem("c", "p", "do this", Exit.LOCKED),)),
    ))  # fmt: skip
    text = printed(report, width)
    assert max(map(len, text.splitlines())) <= width
    assert "[red]x[/red]" in text and not {"\x1b", "\x07", "\u202e"} & {*text}
    assert "✓ a" in text and "! b" in text and "✗ c" in text and "do this" in text
    assert "Errors (✗): 1, warnings (!): 1." in text
    assert report.code is Exit.LOCKED


def test_doctor_warnings_alone_exit_with_0() -> None:
    report = Report((Section("Only", (warning("a", "b"),)),))
    assert report.code is Exit.OK and "No errors, warnings (!): 1" in printed(report)
