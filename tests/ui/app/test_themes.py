"""Tests of the user's own themes: loading, refusal with a reason, and use."""

import os
from pathlib import Path

import pytest
from textual.theme import BUILTIN_THEMES

from koel_tui.ui.app.themes import ThemeError, parse_theme, read_themes
from tests.hostile_summary import Tally
from tests.ui.window import opened

FOREST = """
name = "forest"
primary = "#2e8b57"
background = "#0b1f14"
accent = "gold"
dark = true
[variables]
block-cursor-text-style = "reverse"
footer-key-foreground = "#90ee90"
"""


def write(directory: Path, **files: str) -> Path:
    directory.mkdir(exist_ok=True)
    for name, text in files.items():
        (directory / f"{name}.toml").write_text(text)
    return directory


def test_a_theme_is_read_with_all_its_fields(tmp_path: Path) -> None:
    themes, problems = read_themes(write(tmp_path, forest=FOREST), {})
    assert problems == []
    assert (themes[0].name, themes[0].primary, themes[0].dark) == ("forest", "#2e8b57", True)
    assert themes[0].variables["block-cursor-text-style"] == "reverse"


def test_the_themes_of_textual_are_valid() -> None:
    for theme in BUILTIN_THEMES.values():
        source = {name: value for name, value in vars(theme).items() if value is not None}
        assert parse_theme(source) == theme


def test_a_missing_theme_folder_is_not_a_problem(tmp_path: Path) -> None:
    assert read_themes(tmp_path / "themes", {}) == ([], [])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('primary = "red"', "name is missing"),
        ('name = "a"', "primary is missing"),
        ('name = "two words"\nprimary = "red"', "name must be a word"),
        ('name = "a"\nprimary = "reddish"', "primary must be a colour"),
        ('name = "a"\nprimary = 3', "primary must be a colour"),
        ('name = "a"\nprimary = "red"\ncolour = "red"', "'colour' is not a field of a theme"),
        ('name = "a"\nprimary = "red"\ndark = "yes"', "dark must be true or false"),
        ('name = "a"\nprimary = "red"\ntext_alpha = 7', "text_alpha must be a number"),
        ('name = "a"\nprimary = "red"\nvariables = "red"', "variables must be a table"),
        ('name = "a"\nprimary = "red"\n[variables]\nboarder = "red"', "unknown variable 'boarder'"),
        ('name = "a"\nprimary = "red"\n[variables]\nborder = "}{"', "invalid value for border"),
        ('name = "a"\nprimary = "red"\n[variables]\ntext = "bold"', "value for text that cannot"),
        ('name = "a"\nprimary = "red"\n[variables]\nlink-style = "red"', "for link-style that"),
        ('name = "nord"\nprimary = "red"', "a theme 'nord' exists already"),
        ("name = ", "it is not valid TOML"),
        ('name = "\x1b[2J"', "it is not valid TOML"),
        pytest.param(f"primary = {'[' * 20000}", "it is not valid TOML", id="deep"),
        (f'name = "a"\nprimary = "red"\n# {"x" * 70000}', "it is larger than 64 KB"),
    ],
)
def test_an_invalid_theme_is_left_out_with_its_reason(
    tmp_path: Path, text: str, why: str, tally: Tally
) -> None:
    themes, (problem,) = read_themes(write(tmp_path, bad=text, good=FOREST), BUILTIN_THEMES)
    assert [theme.name for theme in themes] == ["forest"]
    assert problem.startswith("The theme in bad.toml was skipped: ")
    assert why in problem and problem.isprintable()
    tally("bad configuration", tried=1)


def test_the_first_of_two_themes_with_the_same_name_is_used(tmp_path: Path) -> None:
    themes, (problem,) = read_themes(write(tmp_path, a=FOREST, b=FOREST), {})
    assert len(themes) == 1 and "b.toml" in problem


@pytest.mark.timeout(20)
def test_an_unreadable_theme_file_does_not_stop_the_others(tmp_path: Path, tally: Tally) -> None:
    write(tmp_path, forest=FOREST)
    (tmp_path / "directory.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "endless.toml").symlink_to("/dev/zero")
    themes, problems = read_themes(tmp_path, {})
    assert [theme.name for theme in themes] == ["forest"]
    assert len(problems) == 4
    tally("bad configuration", tried=4)


def test_only_the_first_100_themes_are_read(tmp_path: Path) -> None:
    write(tmp_path, **{f"t{n:03}": FOREST.replace("forest", f"t{n:03}") for n in range(102)})
    themes, (problem,) = read_themes(tmp_path, {})
    assert len(themes) == 100 and "Only the first 100 of 102 themes are read" in problem


def test_an_invalid_theme_is_an_error() -> None:
    with pytest.raises(ThemeError):
        parse_theme({})


async def test_a_requested_theme_is_applied_from_the_start(tmp_path: Path) -> None:
    async with opened(theme="forest", themes=write(tmp_path, forest=FOREST)) as window:
        assert window.app.theme == "forest"
        assert window.app.screen.styles.background.hex == "#0B1F14"
        await window.press("ctrl+o", "escape", "f1")  # panels use its colours too
        await window.sees("esc closes")


async def test_a_theme_can_be_chosen_and_a_bad_one_is_reported(tmp_path: Path) -> None:
    directory = write(tmp_path, forest=FOREST, bad="primary = 3")
    async with opened(size=(100, 40), themes=directory) as window:
        await window.sees("The theme in bad.toml was skipped")
        window.app.action_change_theme()
        await window.sees("Search for themes")
        await window.type("forest")
        await window.press("enter")
        await window.until(lambda: window.app.theme == "forest")


async def test_a_theme_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with opened(theme="forest", themes=tmp_path / "nowhere") as window:
        await window.sees("There is no theme 'forest'")
