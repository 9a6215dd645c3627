"""Early settings: the choice of plain mode or window, and the theme."""

import subprocess
import sys

import pytest

from koel_tui import paths
from koel_tui.cli.early_settings import StartSettings, load_start_settings
from koel_tui.cli.window_requirements import why_window_impossible
from koel_tui.settings import SettingsError
from tests.e2e.terminal import Terminal


def write_config(text: str) -> None:
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text(text)


def test_flags_come_before_the_environment_and_that_before_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load_start_settings(None, False, False) == StartSettings()
    write_config('theme = "nord"\nplain = true\n')
    assert load_start_settings(None, False, False) == StartSettings("nord", True, False)
    monkeypatch.setenv("KOEL_PLAIN", "no")
    monkeypatch.setenv("koel_low_bandwidth", "1")
    assert load_start_settings("dracula", False, False) == StartSettings("dracula", False, True)
    assert load_start_settings(None, True, False) == StartSettings("nord", True, True)
    monkeypatch.setenv("KOEL_NOTIFY", "no")
    assert not load_start_settings(None, False, False).notify


@pytest.mark.parametrize(
    ("text", "columns"), [("80", 80), ('"80"', 80), ("0", 0), ('"off"', 0), ("false", 0)]
)
def test_the_line_length_is_known_before_the_first_paint(
    text: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_start_settings(None, False, False).line_length == 100
    write_config(f"line_length = {text}\n")
    assert load_start_settings(None, False, False).line_length == columns
    monkeypatch.setenv("KOEL_LINE_LENGTH", "off")
    assert load_start_settings(None, False, False).line_length == 0


@pytest.mark.parametrize("text", ["19", "-1", "100.5", "true", '"wide"', "[]"])
def test_an_invalid_line_length_is_an_error_that_names_the_allowed_values(text: str) -> None:
    write_config(f"line_length = {text}\n")
    with pytest.raises(SettingsError, match="'line_length': It must be off, or a whole number"):
        load_start_settings(None, False, False)


def test_a_wrong_value_is_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOEL_PLAIN", "perhaps")
    with pytest.raises(SettingsError, match="'plain'"):
        load_start_settings(None, False, False)


def test_the_window_does_not_import_pydantic_without_settings() -> None:
    code = (
        "import sys; from koel_tui.cli.early_settings import load_start_settings;"
        "load_start_settings(None, False, True); print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("columns", "rows", "terminal", "why"),
    [
        (60, 15, "xterm", ""),
        (0, 0, None, ""),
        (59, 15, "xterm", "59 columns"),
        (60, 14, "xterm", "14 rows"),
        (200, 50, "dumb", "TERM=dumb"),
    ],
)
def test_the_window_requires_a_suitable_terminal(
    columns: int, rows: int, terminal: str | None, why: str
) -> None:
    assert (
        (why in why_window_impossible(columns, rows, terminal))
        if why
        else not why_window_impossible(columns, rows, terminal)
    )


@pytest.mark.parametrize(
    ("encoding", "is_possible"),
    [("utf-8", True), ("UTF-8", True), ("gb18030", True), ("gbk", True), ("iso-8859-1", False),
     ("koi8-r", False), ("cp1252", False), ("ascii", False), ("no such encoding", False)],
)  # fmt: skip
def test_report_24_the_window_is_for_encodings_with_its_characters(
    encoding: str, is_possible: bool
) -> None:
    reason = why_window_impossible(80, 24, "xterm", encoding=encoding)
    assert (reason == "") is is_possible
    assert is_possible or reason.startswith(f"The encoding {encoding} lacks")


@pytest.mark.slow
def test_report_24_the_plain_mode_starts_in_a_terminal_of_another_encoding() -> None:
    with Terminal(environment={"PYTHONIOENCODING": "iso-8859-1"}) as terminal:
        terminal.until(lambda screen: "so the plain mode starts" in screen)
        terminal.until(lambda screen: "is ready" in screen, seconds=60)
        terminal.press("ctrl+d")
        assert terminal.wait() == 0
