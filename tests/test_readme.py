"""What the documents say is what the program does: its commands, keys, settings, places, links."""

import ast
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import click
import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from koel_tui import paths
from koel_tui.cli.early_settings import MIN_COLUMNS, MIN_ROWS
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.help_epilog import epilog
from koel_tui.plain.commands import COMMANDS
from koel_tui.setting_sources import variable_of
from koel_tui.settings import Settings
from koel_tui.ui.keys.key_table import KEYS, PROMPT_KEYS, Key
from koel_tui.ui.keys.keymap import PANEL_KEYS, key_name
from tests.cli.commands import every_command

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
KEY = re.compile(r"(?<![\w+])((?:ctrl|alt|shift)\+[\w+]+|f\d{1,2})(?![\w+])")
"""A key as prose names it."""


def section(title: str) -> str:
    """Return what is below a heading of the README."""
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """Return the rows of all tables, without their heads."""
    tables = re.findall(r"^\|.*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [line.strip("|").split("|") for each in tables for line in each.splitlines()]
    return [[cell.strip() for cell in row] for row in rows]


# Commands

LEAVES = {
    words: command for words, command in every_command() if not isinstance(command, click.Group)
}
LINES = [
    line.partition("#")[0].rpartition("|")[2].strip()
    for line in section("Commands").split("```")[1].splitlines()
]


def called(words: list[str]) -> tuple[tuple[str, ...], click.Command]:
    """Return the command that a command line calls, and the words that name it."""
    for count in (2, 1):
        if tuple(words[:count]) in LEAVES:
            return tuple(words[:count]), LEAVES[tuple(words[:count])]
    return (), LEAVES["chat",]


def options_of(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts if name.startswith("--")}


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("koel-chat")])
def test_every_command_line_can_be_parsed(line: str) -> None:
    words = shlex.split(line)[1:]
    named, command = called(words)
    assert command.make_context("koel-chat", words[len(named) :])


def test_every_command_is_named() -> None:
    missing = [words for words in LEAVES if " ".join(("koel-chat", *words)) not in README]
    assert [words for words in missing if words != ("chat",)] == []


def test_every_option_exists() -> None:
    known = {"--help", "--tally", *(name for each in LEAVES.values() for name in options_of(each))}
    assert sorted({*re.findall(r"(?<![\w-])--[a-z][\w-]+", README)} - known) == []


def test_the_commands_of_plain_mode_exist() -> None:
    named = re.findall(r"`/([\w-]+)", section("Commands"))
    assert len(named) > 5 and {*named} <= {command.name for command in COMMANDS}


# Keys

OWN = {name: key for key in (*KEYS, *PROMPT_KEYS) for name in key.names}
PROSE = {"or", "twice", ""}


def keys_in(cell: str) -> list[str]:
    """Return the names of the keys in a cell of the table."""
    if "…" in cell:
        first, last = (part.strip() for part in cell.split("…"))
        return [f"{first[:-1]}{number}" for number in range(int(first[-1]), int(last[-1]) + 1)]
    words = [word.strip() for word in re.split(r"[,/\s]+", cell)]
    return ["at" if word == "@" else key_name(word) for word in words if word not in PROSE]


ROWS = table(section("Keys"))


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_key_does_what_the_table_says(row: list[str]) -> None:
    said = {*re.findall(r"\w{3,}", row[1])}
    for name in keys_in(row[0]):
        assert name in OWN, f"{name} does nothing"
        assert said & _telling(OWN[name]), f"{name} does this: {OWN[name].help}"


def _telling(key: Key) -> set[str]:
    """Return the words of a help by which one knows it."""
    return {*re.findall(r"\w{3,}", key.help)} - {"the", "and", "your", "what", "one", "that"}


def test_every_key_is_in_the_table() -> None:
    named = {name for row in ROWS for name in keys_in(row[0])}
    assert [key.id for key in OWN.values() if not named & {*key.names}] == []


def test_keys_in_the_text_exist() -> None:
    # But for those that stand for one that somebody may choose.
    text = re.sub(r"```.*?```|`\"[^`]+`", "", README, flags=re.DOTALL)
    named = {key_name(name) for name in KEY.findall(text)}
    assert named - {*OWN} - {name for keys in PANEL_KEYS.values() for name in keys} == set()


# Settings

CONFIGURATION = section("Where things are")


def test_settings_have_the_defaults_that_are_shown() -> None:
    shown = tomllib.loads(CONFIGURATION.split("```toml")[1].split("```")[0])
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    examples = {name for name, value in defaults.items() if value is None}
    assert {name: value for name, value in shown.items() if name not in examples} == {
        name: defaults[name] for name in shown if name not in examples
    }
    assert {*shown} <= {*defaults}


def test_every_setting_is_named() -> None:
    words = {*re.findall(r"\w+", CONFIGURATION)}
    assert [name for name in Settings.model_fields if name not in words] == []


def test_settings_in_the_text_exist() -> None:
    for name, value in re.findall(r"`([a-z_]+) = ([^`]+)`", README):
        assert name in Settings.model_fields
        tomllib.loads(f"{name} = {value}")


def test_variables_exist() -> None:
    known = {*map(variable_of, Settings.model_fields), "KOEL_PASSPHRASE_FILE", "KOEL_NAME"}
    assert {*re.findall(r"KOEL_\w+", README)} <= known
    for name in ("VISUAL", "EDITOR", "NO_COLOR", "TERM", "KOEL_PASSPHRASE_FILE", "KOEL_NAME"):
        assert name in README and name in epilog()


def test_exit_codes_exist() -> None:
    said = section("When something goes wrong")
    named = {*map(int, re.findall(r"(?:exit code |; )(\d+)\b", said))}
    named |= {*map(int, re.findall(r"\b(\d+)\s+\(", said))}
    assert {1, 74, 129, 130, 143} <= named <= {*map(int, Exit), 129, 143}


def test_the_library_has_what_the_example_uses() -> None:
    code = ast.parse(section("As a library").split("```python")[1].split("```")[0])
    for node in code.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("koel_tui"):
            room = importlib.import_module(str(node.module))
            assert {name.name for name in node.names} <= {*room.__all__}


# Places and pictures


@pytest.mark.parametrize(("column", "system"), [(1, Unix), (2, MacOS)])
def test_places_are_where_they_are_said_to_be(
    column: int, system: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("DATA", "CONFIG", "CACHE", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    monkeypatch.setattr(platformdirs, "PlatformDirs", system)
    said = [row[column].strip("`").replace("~", "/home/me") for row in table(CONFIGURATION)]
    assert said == [
        str(path)
        for path in (
            paths.threads_dir(), paths.models_dir(), paths.config_file(), paths.cache_dir(),
            paths.state_dir(), paths.log_file().parent,
        )
    ]  # fmt: skip


def test_the_smallest_window_is_the_one_named() -> None:
    assert f"{MIN_COLUMNS} columns by {MIN_ROWS} rows" in README


def test_the_version_to_take_is_the_one_fixed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = (each for each in project["dependencies"] if each.startswith("llama-cpp-python"))
    assert re.search(rf"version\s+{re.escape(pin.partition('==')[2])}\b", README)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        elif "://" not in target:
            assert (ROOT / target).exists(), target


def test_every_picture_is_shown() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert {*shown} == {f"screenshots/{path.name}" for path in ROOT.glob("screenshots/*.svg")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    """In CONTRIBUTING, also as the rooms call them: `engine/native`."""
    text = (ROOT / name).read_text()
    named = re.findall(
        r"(?<![\w/~.-])((?:tests|koel_tui|[.]ci|screenshots|engine|ui)/[\w/.-]+\w)", text
    )
    houses = (ROOT, ROOT / "koel_tui")
    assert [each for each in named if not any((house / each).exists() for house in houses)] == []
