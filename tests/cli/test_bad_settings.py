"""Invalid settings: exit code 78 each time, and no value is quoted in the message."""

import io
import logging
import os
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.main import run
from koel_tui.setting_sources import MAX_CONFIG_BYTES
from koel_tui.settings import SettingsError
from koel_tui.ui.keys.keymap import parse_keymap
from tests.cli.test_start import write_config
from tests.hostile import HOSTILE
from tests.hostile_summary import Tally

CANARY = "sk-canary-1234567890"

BAD_FILES = {
    "no TOML": f"theme = {CANARY}",
    "half a string": f'theme = "{CANARY}',
    "a control character": f'theme = "{CANARY}\x01"',
    "an escape in a name": f'"\x1b]0;owned\x07" = "{CANARY}"',
    "said twice": f'theme = "{CANARY}"\ntheme = "{CANARY}"',
    "not known": f'api_key = "{CANARY}"',
    "a table not known": f'[server]\nkey = "{CANARY}"',
    "deep": f"keys = {'[' * 20_000}",
    "a number for text": f"theme = 1 # {CANARY}",
    "a date for a path": f"model = 1979-05-27 # {CANARY}",
    "text for a number": f'seed = "{CANARY}"',
    "text for a fraction": f'temperature = "{CANARY}"',
    "text for yes or no": f'notify = "{CANARY}"',
    "a list for text": f'theme = ["{CANARY}"]',
    "a table for text": f'system = {{ a = "{CANARY}" }}',
    "a list for a number": f'max_sessions = ["{CANARY}"]',
    "numbers for folders": "model_folders = [1, 2]",
    "text for a table": f'keys = "{CANARY}"',
    "a list for a table": f'keys = ["{CANARY}"]',
    "a number for a key": "[keys]\ntab.new = 3",
    "no key": f'[keys]\ntab.new = "{CANARY}"',
    "no key of several": f'[keys]\ntab.new = "f8,{CANARY}"',
    "nothing of this name": f'[keys]\n"{"x" * 3000}" = "f8"',
    "nan": "temperature = nan",
    "endless": "temperature = inf",
    "no template": f'chat_template = "{CANARY}"',
    "too much": "max_sessions = 99999999999999999999",
    "too little": "seed = -1",
    "too many threads": "threads = 513",
    "a huge number": f"seed = {'9' * 5000}",
    "too large": f"# {'x' * MAX_CONFIG_BYTES}",
}


def check(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> str:
    """Run a command, check that it exits with 78, and return the message."""
    caplog.set_level(logging.DEBUG)
    capsys.readouterr()
    assert run(["config", "show"]) == 78
    said = capsys.readouterr()
    assert said.err.startswith("koel-chat: ") and "Correct" in said.err
    assert "Traceback" not in said.err and len(said.err) < 2500
    assert CANARY not in said.err + caplog.text
    assert not set(said.err) & set(HOSTILE)
    return said.err


@pytest.mark.parametrize("what", BAD_FILES)
def test_an_invalid_config_file_exits_with_78_and_its_values_are_not_printed(
    what: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tally: Tally
) -> None:
    write_config(BAD_FILES[what])
    if "[keys]" in BAD_FILES[what] and "number" not in what:  # the window reads these
        with pytest.raises(SettingsError) as refused:
            from koel_tui.settings import load_settings

            parse_keymap(load_settings().keys)
        assert CANARY not in str(refused.value) and len(str(refused.value)) < 500
    check(capsys, caplog)
    tally("bad configuration", tried=1)


def a_pipe(file: Path) -> None:
    os.mkfifo(file)


def a_folder(file: Path) -> None:
    file.mkdir()


def a_device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")


def a_circle(file: Path) -> None:
    file.symlink_to(file)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [a_pipe, a_folder, a_device, no_text, a_circle])
def test_a_config_file_that_is_not_a_text_file_is_an_error_and_does_not_block(
    make: object, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, tally: Tally
) -> None:
    paths.config_file().parent.mkdir(parents=True)
    assert callable(make)
    make(paths.config_file())
    assert str(paths.config_file()) in check(capsys, caplog)
    tally("bad configuration", tried=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEED", CANARY), ("TEMPERATURE", CANARY), ("NOTIFY", CANARY), ("KEYS", CANARY),
        ("KEYS", f'{{"tab.new": "{CANARY}"}}'), ("KEYS", f'["{CANARY}"]'),
        ("CONTEXT_TOKENS", "\x1b[2J"), ("PARALLEL", "1e999"), ("GPU_LAYERS", ""),
    ],
)  # fmt: skip
def test_an_invalid_variable_exits_with_78_and_its_value_is_not_printed(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, tally: Tally,
) -> None:  # fmt: skip
    monkeypatch.setenv(f"KOEL_{name}", value)
    assert f"KOEL_{name}" in check(capsys, caplog)
    tally("bad configuration", tried=1)


@pytest.mark.parametrize(
    "model",
    [f"https://user:{CANARY}@host/m.gguf", f"https://host/m?key={CANARY}", f"hf://{CANARY}/m"],
)
def test_a_url_as_a_model_is_refused_and_not_printed(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    write_config(f'model = "{model}"')
    assert run(["ask", "hi"]) == 66
    said = capsys.readouterr().err
    assert CANARY not in said and "not a URL" in said and "models pull" in said
    tally("bad configuration", tried=1)


def test_a_model_that_is_not_there_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    write_config('model = "nowhere.gguf"')
    assert run(["ask", "hi"]) == 66
    assert "nowhere.gguf" in capsys.readouterr().err
