"""`koel-chat config`: the location of the settings, their effective values, and editing them."""

import json
import re
import signal
import tomllib
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.config.toml import config_template
from koel_tui.cli.main import run
from koel_tui.setting_sources import config_line, may_be_set
from koel_tui.settings import Settings, SettingsError, load_settings
from koel_tui.ui.keys.key_table import ALL_KEYS
from koel_tui.ui.keys.keymap import parse_keymap
from tests.cli.test_start import write_config


def editor(path: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make an editor that runs `script` with the file as "$1"."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    monkeypatch.setenv("VISUAL", str(path))


def test_the_config_path_is_printed_for_any_content(capsys: pytest.CaptureFixture[str]) -> None:
    write_config("this is no TOML")
    assert run(["config", "path"]) == 0
    assert capsys.readouterr().out == f"{paths.config_file()}\n"


def test_each_setting_is_shown_with_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_config('temperature = 0.1\nsystem = "a\\u001b[2J \\"b\\""\n[keys]\n"tab.new" = "f8"\n')
    monkeypatch.setenv("KOEL_TEMPERATURE", "0.5")
    monkeypatch.setenv("koel_seed", "7")
    assert run(["config", "show"]) == 0
    out = capsys.readouterr().out
    for line in (
        "temperature = 0.5  # environment",
        "seed = 7  # environment",
        "max_sessions = 8  # default",
        "# model is not set (default)",
        '"tab.new" = "f8"  # new tab; config.toml',
        '"tab.open" = "ctrl+o"  # open a saved thread; default',
    ):
        assert line in out.splitlines()
    assert "\x1b" not in out
    assert tomllib.loads(out)["system"] == 'a\x1b[2J "b"'


def test_show_can_be_json(capsys: pytest.CaptureFixture[str]) -> None:
    write_config('theme = "nord"\nmodel = "/m.gguf"\n[keys]\nhelp = "none"\n')
    assert run(["config", "show", "--json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(rows) == list(Settings.model_fields)
    assert (rows["theme"]["value"], rows["theme"]["source"]) == ("nord", "config.toml")
    assert (rows["model"]["value"], rows["seed"]["value"]) == ("/m.gguf", None)
    assert rows["keys"]["value"]["help"] == ""
    assert all(row["description"] for row in rows.values())


def test_a_list_is_shown_as_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    write_config('model_folders = ["/a", "/b c"]')
    assert run(["config", "show", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["value"] for row in rows if row["name"] == "model_folders"] == [["/a", "/b c"]]


def test_config_lines_end_as_toml_defines(capsys: pytest.CaptureFixture[str]) -> None:
    write_config('system = "a\u2028b\x85c"\ntemperature = 0.5\n')
    assert run(["config", "show"]) == 0
    assert "temperature = 0.5  # config.toml" in capsys.readouterr().out
    assert config_line(["temperature"]) == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\ntheme =\nseed = 3", ["line 2"]),
        ('\nteme = "nord"', ["'teme'", "did you mean 'theme'?", "line 2 of"]),
        (
            "seed = 3\ntemperature = -99",
            ["'temperature'", "It must be a number from 0 to 1000000", "line 2 of"],
        ),
        ('[keys]\n"tab.nwe" = "f8"', ["'keys.tab.nwe'", "tab.new", "line 2 of"]),
        ('[keys.tab]\nnew = "q"', ["'keys.tab.new'", "types a character", "line 2 of"]),
        ('[keys]\ntab.new = "f12"\nfold = "f12"', ["'keys.fold'", "'tab.new'", "line 3 of"]),
        ("[keys]\ntab.new = 3", ["'keys.tab.new'", "valid string", "line 2 of"]),
        ("keys = 3", ["'keys'", "line 1 of"]),
        pytest.param(f"keys = {'[' * 20000}", ["Cannot read"], id="deep"),
    ],
)
def test_an_invalid_config_exits_with_78_and_names_the_place(
    text: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_config(text)
    assert run(["config", "show"]) == 78
    said = capsys.readouterr().err
    assert not [word for word in words if word not in said], said


def test_a_wrong_variable_or_flag_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"Correct the option\."):
        load_settings(temperature=-9)
    monkeypatch.setenv("KOEL_KEYS", "{tab")
    with pytest.raises(SettingsError, match=r"not valid JSON.*Correct KOEL_KEYS\."):
        load_settings()


def test_keys_are_a_table_a_list_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config('[keys]\ntab.new = ["f8", "f9"]\n"fold" = "f7"\n')
    monkeypatch.setenv("KOEL_KEYS", '{"help": "f2"}')
    keys = load_settings().keys
    assert dict(keys) == {"tab.new": "f8,f9", "fold": "f7", "help": "f2"}
    with pytest.raises(TypeError):
        keys["fold"] = "f3"  # type: ignore[index]  # the mapping is read-only


def test_the_first_edit_begins_with_every_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    editor(tmp_path / "editor", f'cp "$1" {tmp_path}/seen; echo "seed = 3" > "$1"', monkeypatch)
    assert run(["config", "edit"]) == 0
    assert (tmp_path / "seen").read_text() == config_template()
    assert load_settings().seed == 3
    assert "is valid" in capsys.readouterr().out
    assert paths.config_file().stat().st_mode & 0o777 == 0o600
    assert paths.config_file().parent.stat().st_mode & 0o777 == 0o700


def test_ctrl_c_in_an_editor_is_for_the_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = 'trap "t=caught" INT; kill -INT $PPID $$; echo "system = \\"$t\\"" > "$1"'
    editor(tmp_path / "editor", script, monkeypatch)
    assert run(["config", "edit"]) == 0
    assert load_settings().system == "caught"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_config_template_has_the_defaults_and_every_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_config(config_template())
    assert load_settings() == Settings.model_construct()
    assert not may_be_set(Settings.model_fields), "it would slow down every start"
    lines = config_template().splitlines()
    is_setting = re.compile(r'# (\[keys\]|"?[a-z][\w.]*"? = )')
    uncommented = [line.removeprefix("# ") for line in lines if is_setting.match(line)]
    paths.config_file().write_text("\n".join(uncommented))
    settings = load_settings()
    for name, field in Settings.model_fields.items():
        if name != "keys" and not field.examples:
            assert getattr(settings, name) == field.default
    keymap = parse_keymap(settings.keys)
    assert [key.names for key in keymap.keys] == [key.names for key in ALL_KEYS]
    assert max(map(len, lines)) <= 100


def test_an_invalid_edit_of_the_config_is_reported_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config("seed = 3\n")
    editor(tmp_path / "editor", 'echo "sede = 4" >> "$1"', monkeypatch)
    assert run(["config", "edit"]) == 78
    said = capsys.readouterr().err
    assert "'sede'" in said and "line 2 of" in said and "koel-chat config edit" in said
    assert paths.config_file().read_text() == "seed = 3\nsede = 4\n"


def test_report_39_an_editor_that_does_not_wait_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_config("seed = 3\n")
    for script, advised in (("", True), ('touch "$1"', False), ('echo "top_k = 4" >> "$1"', False)):
        editor(tmp_path / "code", script, monkeypatch)
        assert run(["config", "edit"]) == 0
        assert ("code --wait" in capsys.readouterr().err) is advised


@pytest.mark.parametrize(
    ("command", "why"),
    [("", "Set VISUAL or EDITOR"), ("/nowhere/ed", "cannot be started"), ("false", "ended with 1")],
)
def test_an_editor_that_does_not_work_is_a_usage_error(
    command: str, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISUAL", command)
    monkeypatch.delenv("EDITOR", raising=False)
    write_config("seed = 3\n")
    assert run(["config", "edit"]) == 2
    assert why in capsys.readouterr().err
    assert paths.config_file().read_text() == "seed = 3\n"


def test_a_directory_that_cannot_be_made_is_73(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISUAL", "true")
    paths.config_file().parent.parent.mkdir(parents=True, exist_ok=True)
    paths.config_file().parent.write_text("a file")
    assert run(["config", "edit"]) == 73
    assert "Check" in capsys.readouterr().err


def test_a_config_line_is_found_in_any_notation() -> None:
    write_config(
        "\n".join(["# seed = 1", "seed=2", "[keys]", "'tab.new' = 'f8'", "tab . open = 1"])
    )
    assert [config_line([name]) for name in ("seed", "sed")] == [2, None]
    assert [config_line(["keys", name]) for name in ("tab.new", "tab.open")] == [4, 5]
