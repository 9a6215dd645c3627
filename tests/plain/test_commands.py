"""The parser of typed input: commands, messages and continued lines."""

from koel_tui.plain.commands import (
    COMMANDS,
    LineJoiner,
    escape_message,
    help_lines,
    parse_command,
    parse_index,
    unescape_message,
)


def test_a_slash_begins_a_command_and_two_a_message() -> None:
    order = parse_command("/Open  The sea ")
    assert order is not None and order.command is not None
    assert (order.command.name, order.argument) == ("open", "The sea")
    unknown = parse_command("/usr/bin is a directory")
    assert unknown is not None and unknown.command is None
    assert parse_command("hello /help") is None
    assert parse_command("//usr/bin") is None and unescape_message("//usr/bin") == "/usr/bin"
    for message in ("/usr/bin", "//note", "text", ""):
        assert parse_command(escape_message(message)) is None
        assert unescape_message(escape_message(message)) == message


def test_the_help_has_every_command() -> None:
    text = "\n".join(help_lines())
    assert all(f"/{command.name}" in text for command in COMMANDS)


def test_a_backslash_at_the_end_joins_lines() -> None:
    typing = LineJoiner()
    assert typing.add("one\\") is None and typing.is_unfinished
    assert typing.unfinished_text("tw") == "one\ntw"
    assert typing.add("two") == "one\ntwo"
    assert not typing.is_unfinished and typing.add("three") == "three"


def test_the_number_of_an_item_is_a_positive_integer() -> None:
    assert parse_index("12") == 12
    for text in ("", "0", "-1", "1.5", "one", "9" * 5000):
        assert parse_index(text) == 0
