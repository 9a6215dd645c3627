"""The writer of config.toml: it changes one setting and nothing else."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.cli.config.toml import config_template
from koel_tui.config_writer import ConfigFileError, set_setting

OTHERS = '# mine\r\nseed = 3 # three\n\n[keys]\n\'tab.new\' = "f8"\ntheme = "no setting"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "config.toml"


def changed(file: Path, text: str, name: str, value: object) -> str:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_bytes(text.encode())
    set_setting(file, name, value)
    return file.read_bytes().decode()


@pytest.mark.parametrize(
    ("before", "name", "value", "after"),
    [
        ('theme = "a"\n', "theme", "b", 'theme = "b"\n'),
        ('theme="a"', "theme", "b", 'theme="b"'),
        ('  "theme"  =\t"a#=" # why # so\r\nx = 1\n', "theme", "b",
         '  "theme"  =\t"b" # why # so\r\nx = 1\n'),
        ("x = '''\ntheme = 1\n'''\ntheme = 2\n", "theme", "b",
         "x = '''\ntheme = 1\n'''\ntheme = \"b\"\n"),
        ("system = '''\n# one\ntwo''' # c\ny = 1\n", "system", "s", 'system = "s" # c\ny = 1\n'),
        ("f = [\n  'a', # first\n  'b',\n] # all\n", "f", (Path("/c"), "d"),
         'f = ["/c", "d"] # all\n'),
        ("a = 1\ntheme = 2 # two\nb = 3\n", "theme", None, "a = 1\nb = 3\n"),
        (OTHERS, "theme", "b", OTHERS.replace("three\n", 'three\ntheme = "b"\r\n', 1)),
        (OTHERS, "theme", None, OTHERS),
        ("# head\n\n# of keys\n[keys]\na = 'f8'\n", "seed", 4,
         "# head\n\nseed = 4\n# of keys\n[keys]\na = 'f8'\n"),
        ("[keys]\n", "seed", 4, "seed = 4\n[keys]\n"),
        ("# a\n# seed = 1\n# b\n", "seed", 4, "# a\n# seed = 1\nseed = 4\n# b\n"),
        ("a = 1", "b", True, "a = 1\nb = true\n"),
        ("# only this", "b", 0.5, "# only this\nb = 0.5\n"),
        ("keys.tab.new = 'f8'\n", "seed", 4, "keys.tab.new = 'f8'\nseed = 4\n"),
    ],
)  # fmt: skip
def test_a_config_change_edits_one_setting_only(
    file: Path, before: str, name: str, value: object, after: str
) -> None:
    assert changed(file, before, name, value) == after


@given(value=st.text() | st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_any_value_is_read_again_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    file = tmp_path_factory.mktemp("c") / "config.toml"
    after = changed(file, OTHERS, "system", value)
    assert tomllib.loads(after) == {**tomllib.loads(OTHERS), "system": value}
    assert changed(file, after, "system", None) == OTHERS


def test_a_setting_replaces_its_comment_in_the_config_template(file: Path) -> None:
    lines = changed(file, config_template(), "theme", "nord").split("\n")
    place = lines.index('theme = "nord"')
    assert lines[place - 1] == '# theme = "textual-dark"'
    del lines[place]
    assert "\n".join(lines) == config_template()


def test_a_new_config_file_is_private_and_a_link_stays_a_link(file: Path) -> None:
    set_setting(file, "seed", 4)
    assert file.read_text() == "seed = 4\n"
    assert file.stat().st_mode & 0o77 == file.parent.stat().st_mode & 0o77 == 0
    link = file.with_name("link.toml")
    link.symlink_to(file)
    set_setting(link, "seed", 5)
    assert link.is_symlink() and file.read_text() == "seed = 5\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"theme = \n", "not valid TOML"),
        (b"theme = '\xff'\n", "not UTF-8"),
        (b"[theme]\na = 1\n", "is a table"),
        (b"theme.a = 1\n", "is a table"),
        (b"a = 1\na = 2\n", "not valid TOML"),
        (b"a = " + b"[" * 20_000, "not valid TOML"),
        (b"a = " + b"[" * 200 + b"]" * 200, "cannot be changed"),
        (b"[[theme]]\na = 1\n", "cannot be changed"),
        (b"[[a]]\n[b]\n[[a]]\n", "cannot be changed"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_a_config_file_that_cannot_be_edited_safely_is_not_changed(
    file: Path, text: bytes, why: str
) -> None:
    file.parent.mkdir(mode=0o700)
    file.write_bytes(text)
    with pytest.raises(ConfigFileError, match=why):
        set_setting(file, "theme", "nord")
    assert file.read_bytes() == text


def test_an_unwritable_config_file_is_an_error_and_is_not_changed(file: Path) -> None:
    file.parent.mkdir(mode=0o700)
    file.mkdir()
    with pytest.raises(OSError, match="not a regular file"):
        set_setting(file, "theme", "nord")
