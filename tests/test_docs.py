"""Consistency of the README and the pages in docs/ with the program.

A test fails if the docs lack something that the program has, and the reverse.
"""

import inspect
import re
import shlex
import tomllib
from typing import get_args

import click
import platformdirs
import pytest
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from koel_tui import paths
from koel_tui.chat_templates import CHAT_TEMPLATES
from koel_tui.cli.ask_answer import Answer
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.help_epilog import epilog
from koel_tui.cli.window_requirements import MIN_COLUMNS, MIN_ROWS
from koel_tui.conversation.incomplete_answers import STOPPED, THOUGHT_ONLY
from koel_tui.conversation.thread_settings_form import FIELDS, TITLE
from koel_tui.engine.types import FinishReason
from koel_tui.plain.commands import COMMANDS
from koel_tui.protocol import TurnSettings
from koel_tui.sampling_options import LOGIT_BIAS, LOGIT_BIAS_FORMAT, OPTIONS
from koel_tui.setting_sources import variable_name
from koel_tui.settings import Settings
from koel_tui.storage.encryption.keys import PASSPHRASE_FILE
from koel_tui.typed_values import format_number
from koel_tui.ui.keys.key_table import KEYS
from tests.cli.commands import every_command
from tests.docs_pages import (
    DOCUMENTS,
    PAGES,
    README,
    README_LINES,
    ROOT,
    USER_TEXT,
    anchors_of,
    blocks,
    code_in,
    own_section,
    section,
    table,
)  # fmt: skip

# Commands

LEAVES = {
    words: command for words, command in every_command() if not isinstance(command, click.Group)
}
EVERYWHERE = {"--debug", "--help"}
CALLS = [
    line.partition("#")[0].rpartition("|")[2].strip()
    for page in (README, *PAGES.values())
    for block in blocks(page, "sh")
    for line in block.splitlines()
]


def called(words: list[str]) -> tuple[tuple[str, ...], click.Command]:
    """Return the words that name the command of a command line, and the command."""
    for count in (2, 1):
        if tuple(words[:count]) in LEAVES:
            return tuple(words[:count]), LEAVES[tuple(words[:count])]
    return (), LEAVES["chat",]


def options_of(command: click.Command) -> set[str]:
    return {name for each in command.params for name in each.opts if name.startswith("--")}


@pytest.mark.parametrize("line", sorted({x for x in CALLS if x.startswith("koel-chat")}))
def test_every_command_line_can_be_parsed(line: str) -> None:
    words = shlex.split(line.partition(">")[0])[1:]
    named, command = called(words)
    assert command.make_context("koel-chat", words[len(named) :])


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_the_section_of_a_command_has_exactly_its_options(words: tuple[str, ...]) -> None:
    text = own_section(PAGES["commands"], " ".join(("koel-chat", *words)))
    named = {cell.split()[0].strip("`") for cell, *_ in table(text)}
    assert {name for name in named if name.startswith("--")} == (
        options_of(LEAVES[words]) - EVERYWHERE
    )


def test_the_page_of_commands_has_no_command_that_does_not_exist() -> None:
    headings = re.findall(r"^#+ koel-chat (.+)$", PAGES["commands"], re.MULTILINE)
    assert {tuple(each.split()) for each in headings} == {each for each, _ in every_command()} - {
        ()
    }


def test_the_list_of_commands_has_every_command() -> None:
    text = blocks(PAGES["commands"], "sh")[0]
    missing = [words for words in LEAVES if " ".join(("koel-chat", *words)) not in text]
    assert missing == [("chat",)]  # `koel-chat` without a command


def test_options_in_the_text_exist() -> None:
    known = {"--version", *EVERYWHERE, *(each for x in LEAVES.values() for each in options_of(x))}
    assert sorted({*re.findall(r"(?<![\w-])--[a-z][\w-]+", USER_TEXT)} - known) == []


def test_the_defaults_of_options_are_those_of_the_settings() -> None:
    """Only options with a number are checked, if the table names their default."""
    for command in ("chat", "ask"):
        rows = table(own_section(PAGES["commands"], f"koel-chat {command}"))
        for option, _, default in rows:
            name = option.split()[0].strip("`-").replace("-", "_")
            field = Settings.model_fields.get(name)
            if field is not None and isinstance(field.default, int | float) and default:
                assert default == format_number(field.default), name


def test_the_exit_codes_are_those_of_the_program() -> None:
    rows = table(own_section(PAGES["commands"], "Exit codes"))
    assert sorted(int(code) for code, _ in rows) == sorted({*map(int, Exit), 129, 143})


def test_exit_codes_in_the_text_exist() -> None:
    named = {int(code) for code in re.findall(r"exit codes? (\d+)\b", USER_TEXT)}
    assert len(named) > 8 and named <= {*map(int, Exit), 129, 143}


def test_the_json_object_of_ask_has_exactly_its_keys() -> None:
    text = section(PAGES["commands"], "The JSON object")
    printed = Answer(thinking="so").as_json()
    rows = {name: cell for names, cell in table(text) for name in code_in(names)}
    assert {*rows} == {*printed}
    assert {*printed["usage"]} == {*code_in(rows["usage"])}
    assert code_in(rows["backend"]) == [printed["backend"]]
    assert {*code_in(rows["finish_reason"])} == {*get_args(FinishReason)}


def test_the_finish_reasons_of_ask_are_those_of_the_program_with_exit_codes() -> None:
    rows = table(own_section(PAGES["commands"], "Finish reasons"))
    assert [code_in(reason) for reason, *_ in rows] == [[each] for each in get_args(FinishReason)]
    named = {int(code) for *_, codes in rows for code in re.findall(r"\b\d+\b", codes)}
    assert named == {0, 65, 74, 129, 130, 143}


def test_the_commands_of_plain_mode_are_those_of_the_program() -> None:
    rows = table(section(PAGES["commands"], "Plain mode"))
    assert [command.strip("`") for command, _ in rows] == [
        f"/{each.name} {each.argument}".rstrip() for each in COMMANDS
    ]


def test_commands_of_plain_mode_in_the_text_exist() -> None:
    named = {*re.findall(r"`/([a-z][\w-]*)[ `]", USER_TEXT)}
    assert len(named) > 5 and named <= {command.name for command in COMMANDS}


def test_names_after_set_exist() -> None:
    names = {"role", *(field.key for field in FIELDS), "NAME"}
    assert {*re.findall(r"`/(?:un)?set (\w+)", USER_TEXT)} <= names


# Settings


def test_the_table_of_settings_is_that_of_the_program() -> None:
    rows = table(section(PAGES["configuration"], "Settings"))
    names = [code_in(name)[0] for name, *_ in rows]
    assert names == [name for name in Settings.model_fields if name not in OPTIONS]
    for name, (_, default, *_) in zip(names, rows, strict=True):
        assert _toml(default) == _default(name), name


def _toml(cell: str) -> object:
    """Return the value in a cell; `not set` is None, and unquoted text is returned as it is."""
    if cell == "not set":
        return None
    text = cell.strip("`")
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _default(name: str) -> object:
    value = Settings.model_fields[name].get_default(call_default_factory=True)
    return [] if value == () else dict(value) if name == "keys" else value


def test_every_sampling_setting_is_named_with_the_settings() -> None:
    text = section(PAGES["configuration"], "Settings")
    assert [name for name in OPTIONS if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_the_configuration_can_be_used(page: str) -> None:
    for block in blocks(PAGES[page], "toml"):
        said = tomllib.loads(block)
        if "primary" not in said:  # a theme
            Settings.model_validate(said)


def test_settings_in_the_text_exist() -> None:
    for name, value in re.findall(r"`([a-z_]+) = ([^`]+)`", USER_TEXT):
        if name not in ("name",):
            assert name in Settings.model_fields
            tomllib.loads(f"{name} = {value}")


def test_variables_exist_and_are_in_the_help() -> None:
    known = {*map(variable_name, Settings.model_fields), PASSPHRASE_FILE, "KOEL_NAME"}
    assert {*re.findall(r"KOEL_\w+", USER_TEXT)} <= known
    rows = table(section(PAGES["configuration"], "Environment variables"))
    named = {name for names, _ in rows for name in code_in(names)}
    assert named == {"KOEL_NAME", PASSPHRASE_FILE, "VISUAL", "EDITOR", "NO_COLOR", "TERM"}
    assert [name for name in named if name not in epilog()] == []


# Turn settings


def test_the_table_of_samplers_is_that_of_the_program() -> None:
    said = [row[:4] for row in table(own_section(PAGES["sampling"], "Samplers"))]
    expected = [
        [f"`{name}`", option.label, _number(option.default), str(option.range)]
        for name, option in OPTIONS.items()
    ]
    assert said == [*expected, [f"`{LOGIT_BIAS}`", "Logit bias", "none", LOGIT_BIAS_FORMAT]]


def _number(value: float | None) -> str:
    return "random" if value is None else format_number(value)


def test_the_table_of_other_turn_settings_is_that_of_the_program() -> None:
    rows = table(own_section(PAGES["sampling"], "Other settings"))
    others = [field for field in FIELDS if field is not TITLE and field.key not in OPTIONS]
    labels = {field.key: field.label for field in (TITLE, *others) if field.key != LOGIT_BIAS}
    assert {code_in(row[0])[0]: row[1] for row in rows} == {**labels, "system": "System prompt"}
    for _, _, setting, option, _, _ in rows:
        assert {*code_in(setting)} <= {*Settings.model_fields}
        assert {*code_in(option)} <= options_of(LEAVES["ask",])


def test_the_options_of_ask_that_sample_are_named() -> None:
    text = section(PAGES["sampling"], "Turn settings and sampling")
    named = {name for name in OPTIONS if f"`--{name.replace('_', '-')}`" in text}
    assert named == {
        name for name in OPTIONS if f"--{name.replace('_', '-')}" in options_of(LEAVES["ask",])
    }


def test_every_field_of_turn_settings_is_named() -> None:
    text = section(PAGES["sampling"], "In the library")
    names = inspect.signature(TurnSettings).parameters
    assert [name for name in names if f"`{name}`" not in text] == []


def test_the_chat_templates_are_those_of_the_program() -> None:
    rows = table(section(PAGES["models"], "Chat templates"))
    assert [code_in(name)[0] for name, _ in rows] == [*CHAT_TEMPLATES]


def test_the_messages_of_incomplete_answers_are_those_of_the_program() -> None:
    assert THOUGHT_ONLY in PAGES["answers"] and STOPPED == "The answer was stopped."
    label = next(key.command for key in KEYS if key.id == "run.go_on")
    assert label in PAGES["answers"]


# Paths, screenshots and links


@pytest.mark.parametrize(("column", "system"), [(1, Unix), (2, MacOS)])
def test_the_documented_directories_are_the_real_ones(
    column: int, system: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("DATA", "CONFIG", "CACHE", "STATE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    monkeypatch.setattr(platformdirs, "PlatformDirs", system)
    rows = table(section(README, "Where your data is"))
    assert [row[column].strip("`").replace("~", "/home/me") for row in rows] == [
        str(path)
        for path in (
            paths.threads_dir(), paths.models_dir(), paths.config_file(), paths.cache_dir(),
            paths.state_dir(), paths.log_file().parent,
        )
    ]  # fmt: skip
    if column == 1:
        rows = table(section(PAGES["privacy"], "Stored data"))
        assert [row[1].strip("`").replace("~", "/home/me") for row in rows] == [
            str(path)
            for path in (
                paths.threads_dir(), paths.models_dir(), paths.config_file().parent,
                paths.cache_dir(), paths.cache_dir() / "kv", paths.state_dir(),
                paths.recovery_dirs()[0], paths.log_file().parent,
            )
        ]  # fmt: skip


def test_the_smallest_window_is_the_one_named() -> None:
    for page in ("commands", "troubleshooting"):
        assert f"{MIN_COLUMNS} columns by {MIN_ROWS} rows" in PAGES[page]


def test_the_version_to_install_is_the_one_that_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = (each for each in project["dependencies"] if each.startswith("llama-cpp-python"))
    assert re.search(rf"version\s+{re.escape(pin.partition('==')[2])}\b", README)


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.splitlines()) <= README_LINES
    linked = re.findall(r"\]\((docs/\w+\.md)\)", README)
    assert {*linked} == {f"docs/{name}.md" for name in PAGES}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_of_the_docs_has_a_target(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists() and path.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors_of(path), target


def test_every_picture_is_shown() -> None:
    shown = re.findall(r"!\[[^\]]+\]\((?:\.\./)?([^)]+)\)", USER_TEXT)
    plots = {path.name for path in ROOT.glob("docs/*.svg")}
    assert {*shown} == {
        f"screenshots/{path.name}" for path in ROOT.glob("screenshots/*.svg")
    } | plots


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_are_named_exist(name: str) -> None:
    """Paths may be relative to koel_tui, like `engine/native` in CONTRIBUTING."""
    text = (ROOT / name).read_text()
    named = re.findall(
        r"(?<![\w/~.-])((?:tests|koel_tui|[.]ci|screenshots|docs|engine|ui)/[\w/.-]+\w)", text
    )
    folders = (ROOT, ROOT / "koel_tui")
    assert [each for each in named if not any((folder / each).exists() for folder in folders)] == []


def test_the_sources_of_a_release_have_the_docs() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "docs" in project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
