"""Stop strings as one line of text: comma-separated, with escapes. Pure."""

import re
from collections.abc import Iterable, Iterator

from koel_tui.text import repair

SYNTAX = "strings separated by commas (\\n newline, \\t tab, \\s space, \\, comma, \\\\ backslash)"
"""The syntax of stop strings, for users."""

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", ",": ",", "\\": "\\"}
_ESCAPED = {char: f"\\{letter}" for letter, char in _ESCAPES.items() if char != " "}
"""The escapes of characters; most spaces need none, see `_LOST_SPACES`."""
_CHARACTER = re.compile(r"\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.?)|(.)", re.DOTALL)
"""One character: the escape of a code point, another escape, or the character itself."""
_LOST_SPACES = re.compile(r"^ +| +\Z|(?<= ) +")
"""Spaces that are lost without an escape: the parser strips those at the ends, and `safe_line`
shows several as one."""


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
    for match in _CHARACTER.finditer(text):
        if match[0] == ",":
            parts.append("")
        else:
            parts[-1] += match[0]
    return parts


def _unescape(part: str) -> Iterator[str]:
    for match in _CHARACTER.finditer(part):
        short, long, letter, unescaped = match.groups()
        if short or long:
            yield _parse_code_point(int(short or long, 16))
        elif unescaped:
            yield unescaped
        elif letter in _ESCAPES:
            yield _ESCAPES[letter]
        else:
            raise ValueError(SYNTAX)


def _parse_code_point(code: int) -> str:
    """Return the character of a code point. Raises `ValueError` if it has none."""
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(SYNTAX)
    return chr(code)


def _escape(string: str) -> str:
    escaped = "".join(map(_escape_character, repair(string)))
    return _LOST_SPACES.sub(lambda spaces: "\\s" * len(spaces[0]), escaped)


def _escape_character(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isprintable():
        return char
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
