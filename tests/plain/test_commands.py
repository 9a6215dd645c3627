"""What is typed: commands, messages, and lines that go on."""

from koel_tui.plain.commands import COMMANDS, LineJoiner, help_lines, message_of, order_of


def test_a_slash_begins_a_command_and_two_a_message() -> None:
    order = order_of("/Open  The sea ")
    assert order is not None and order.command is not None
    assert (order.command.name, order.argument) == ("open", "The sea")
    unknown = order_of("/usr/bin is a directory")
    assert unknown is not None and unknown.command is None
    assert order_of("hello /help") is None
    assert order_of("//usr/bin") is None and message_of("//usr/bin") == "/usr/bin"


def test_the_help_has_every_command() -> None:
    text = "\n".join(help_lines())
    assert all(f"/{command.name}" in text for command in COMMANDS)


def test_a_backslash_at_the_end_joins_lines() -> None:
    typing = LineJoiner()
    assert typing.add("one\\") is None and typing.begun
    assert typing.rest("tw") == "one\ntw"
    assert typing.add("two") == "one\ntwo"
    assert not typing.begun and typing.add("three") == "three"
