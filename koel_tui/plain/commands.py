"""The table of the plain mode's commands, used by the parser and the help. No I/O."""

from dataclasses import dataclass

_MAX_INDEX_DIGITS = 9
"""Maximum length of the number of a list item; Python refuses to parse very long numbers."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command; `argument` is the name of its argument in the help."""

    name: str
    help: str
    argument: str = ""


COMMANDS = (
    Command("help", "list the commands"),
    Command("new", "open a new thread"),
    Command("tabs", "list the open threads"),
    Command("tab", "go to an open thread", "NUMBER"),
    Command("list", "list the saved threads"),
    Command("open", "open a saved thread", "TITLE or ID"),
    Command("close", "close this thread; it stays saved"),
    Command("read", "print the last messages again, 2 by default", "NUMBER or all"),
    Command("stop", "stop the answer; so does ctrl+c"),
    Command("continue", "continue an answer that was stopped or cut"),
    Command("retry", "try the failed answer again"),
    Command("again", "regenerate the last answer; the old one stays as a branch"),
    Command("edit", "replace your last message and get a new answer", "MESSAGE"),
    Command("branches", "list the branches of this thread"),
    Command("branch", "show another branch", "NUMBER"),
    Command("new-from", "open a new thread with a copy of this one"),
    Command("summary", "open a new thread with a summary of this one"),
    Command("queue", "list the queued messages, or take one back to edit it", "NUMBER"),
    Command("title", "give this thread a title", "TITLE"),
    Command("settings", "list the settings of this thread; so does /set"),
    Command("set", "change a setting", "NAME VALUE"),
    Command("unset", "reset a setting to its default", "NAME"),
    Command("quit", "save and quit; so do ctrl+d and ctrl+c twice"),
)


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """A parsed command line; `command` is None for an unknown command."""

    command: Command | None
    argument: str
    word: str


def parse_command(text: str) -> ParsedCommand | None:
    """Parse a command; return None if the text is a message.

    A message that starts with a slash is typed with two slashes.
    """
    if not text.startswith("/") or text.startswith("//"):
        return None
    word, _, argument = text[1:].partition(" ")
    command = next((each for each in COMMANDS if each.name == word.lower()), None)
    return ParsedCommand(command, argument.strip(), word)


def unescape_message(text: str) -> str:
    """Return the message, with a leading double slash reduced to one."""
    return text[1:] if text.startswith("//") else text


def escape_message(text: str) -> str:
    """Return a message as it is typed, with a leading slash doubled."""
    return f"/{text}" if text.startswith("/") else text


def parse_index(text: str) -> int:
    """Parse the number of a list item, which counts from 1; any other text gives 0."""
    return int(text) if len(text) <= _MAX_INDEX_DIGITS and text.isdecimal() else 0


def help_lines() -> list[str]:
    """Return the help, one command per line."""
    commands = [
        f"/{each.name}{' ' + each.argument if each.argument else ''}: {each.help}."
        for each in COMMANDS
    ]
    return [
        "Type a message and press enter. A line that ends with a backslash continues on the next.",
        "A paste of several lines is one message; nothing in it is a command.",
        "The up arrow recalls what you typed before.",
        *commands,
        "To send a message that begins with a slash, type two slashes.",
    ]


class LineJoiner:
    """A joiner of lines that are continued with a backslash at the end."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def unfinished_text(self, line: str) -> str:
        """Return the incomplete text, with `line` as its last line."""
        return "\n".join([*self._lines, line])

    @property
    def is_unfinished(self) -> bool:
        """True if the next line continues the previous ones."""
        return bool(self._lines)

    def add(self, line: str) -> str | None:
        """Add a line; return the whole text if it is complete, else None."""
        if line.endswith("\\"):
            self._lines.append(line[:-1])
            return None
        lines, self._lines = [*self._lines, line], []
        return "\n".join(lines)
