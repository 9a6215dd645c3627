"""Values that the user types: numbers, yes or no, names of templates, line lengths. Pure."""

import re

from koel_tui.chat_templates import CHAT_TEMPLATES
from koel_tui.protocol.turn_settings import Range

TEMPLATE_NAMES = f"one of {', '.join(CHAT_TEMPLATES)}"
"""Description of the allowed names of chat templates."""

_LINE_LENGTHS = Range(20, 1000, whole=True)
LINE_LENGTHS = f"off, or {_LINE_LENGTHS}"
"""Description of the allowed line lengths."""

_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)([eE][+-]?[0-9]+)?")
_MAX_DIGITS = 40
"""Maximum length of a number, longer than any valid one; Python refuses to parse very long ones."""
_SWITCHES = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}


def parse_number(text: str, allowed: Range) -> float:
    """Parse a number; a decimal comma is read as a point.

    Raises ValueError with the allowed range; its message does not quote the text.
    """
    text = text.strip()
    pattern = _WHOLE if allowed.whole else _NUMBER
    if len(text) <= _MAX_DIGITS and pattern.fullmatch(text):
        value = int(text) if allowed.whole else float(text.replace(",", "."))
        if value in allowed:
            return value
    raise ValueError(str(allowed))


def format_number(value: float) -> str:
    """Return the short form of a number: 2 instead of 2.0."""
    return str(value).removesuffix(".0")


def parse_switch(text: str) -> bool:
    """Parse yes or no, on or off, true or false. Raises ValueError with the words to use."""
    switch = _SWITCHES.get(text.casefold())
    if switch is None:
        raise ValueError("yes or no")
    return switch


def parse_template(text: str) -> str:
    """Parse the name of a chat template. Raises ValueError with all names."""
    name = text.casefold()
    if name not in CHAT_TEMPLATES:
        raise ValueError(TEMPLATE_NAMES)
    return name


def parse_line_length(text: str) -> int:
    """Parse a line length in columns; "off" is 0. Raises ValueError with the allowed values."""
    if text == "0" or _SWITCHES.get(text.casefold()) is False:
        return 0
    try:
        return int(parse_number(text, _LINE_LENGTHS))
    except ValueError:
        raise ValueError(LINE_LENGTHS) from None
