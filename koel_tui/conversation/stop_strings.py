"""Stop strings as one line of text: comma-separated, with escapes. Pure."""

import re
from collections.abc import Iterable

from koel_tui.text import repair

SYNTAX = "strings separated by commas (\\n newline, \\t tab, \\s space, \\, comma, \\\\ backslash)"
"""The syntax of stop strings, for users."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", ",": ",", "\\": "\\"}
_NAMES = {char: f"\\{name}" for name, char in _ESCAPES.items() if char != " "}
_PART = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)|([^\\])", re.DOTALL)
_HIDDEN_SPACE = re.compile(r"^ +| +$|(?<= ) +")
"""Spaces that would be lost: at an end, where they are stripped, and after another space."""


def parse_stop_strings(text: str) -> tuple[str, ...]:
    """Parse the stop strings of a line. Raises `ValueError` with the expected syntax."""
    strings: list[str] = []
    for part in _split_at_commas(text):
        string = "".join(_unescape(part.strip(" ")))
        if not string:
            raise ValueError(f"{SYNTAX}, none of them empty")
        if string not in strings:
            strings.append(string)
    return tuple(strings)


def format_stop_strings(strings: Iterable[str]) -> str:
    """Serialize stop strings to a line that `parse_stop_strings` parses."""
    return ", ".join(map(_escape, strings))


def _split_at_commas(text: str) -> list[str]:
    """Split a line at its unescaped commas."""
    parts = [""]
    for match in re.finditer(r"\\.|[^\\]|\\", text, re.DOTALL):
        if match[0] == ",":
            parts.append("")
        else:
            parts[-1] += match[0]
    return parts


def _unescape(part: str) -> Iterable[str]:
    index = 0
    while index < len(part):
        match = _PART.match(part, index)
        if match is None:
            raise ValueError(SYNTAX)
        short, long, name, literal = match.groups()
        if short or long:
            yield _parse_code_point(int(short or long, 16))
        elif name is not None:
            if name not in _ESCAPES:
                raise ValueError(SYNTAX)
            yield _ESCAPES[name]
        else:
            yield literal
        index = match.end()


def _parse_code_point(code: int) -> str:
    """Return the character of a code point. Raises `ValueError` for a surrogate."""
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(SYNTAX)
    return chr(code)


def _escape(string: str) -> str:
    string = repair(string)
    hidden = {index for match in _HIDDEN_SPACE.finditer(string) for index in range(*match.span())}
    return "".join(
        "\\s" if index in hidden else _escape_character(char) for index, char in enumerate(string)
    )


def _escape_character(char: str) -> str:
    if char in _NAMES:
        return _NAMES[char]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
