"""The table of the plain mode's commands, used by the parser and the help. No I/O."""

from dataclasses import dataclass


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
    Command("read", "read the last messages again, 2 unless you say how many", "NUMBER or all"),
    Command("stop", "stop the answer; so does ctrl+c"),
    Command("continue", "continue an answer that was stopped or cut"),
    Command("retry", "try again what failed"),
    Command("again", "have your last message answered again; the answer there is stays a branch"),
    Command("edit", "ask something else in place of your last message", "MESSAGE"),
    Command("branches", "list the branches of this thread"),
    Command("branch", "show another branch", "NUMBER"),
    Command("new-from", "open a new thread with what was said here"),
    Command("summary", "open a new thread with a summary of this one"),
    Command("queue", "list what waits to be sent, or take one back to edit it", "NUMBER"),
    Command("title", "give this thread a title", "TITLE"),
    Command("settings", "list the settings of this thread; so does /set"),
    Command("set", "change one of them", "NAME VALUE"),
    Command("unset", "take one back to the default", "NAME"),
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


def help_lines() -> list[str]:
    """Return the help, one command per line."""
    commands = [
        f"/{each.name}{' ' + each.argument if each.argument else ''}: {each.help}."
        for each in COMMANDS
    ]
    return [
        "Type a message and press enter. A line that ends in a backslash goes on in the next one.",
        "The up arrow brings back what you typed before.",
        *commands,
        "A message that begins with a slash is typed with two.",
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
        """Whether the next line continues the previous ones."""
        return bool(self._lines)

    def add(self, line: str) -> str | None:
        """Add a line; return the whole text if it is complete, else None."""
        if line.endswith("\\"):
            self._lines.append(line[:-1])
            return None
        lines, self._lines = [*self._lines, line], []
        return "\n".join(lines)
