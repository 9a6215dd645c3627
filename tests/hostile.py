"""Hostile characters and sequences, and a check of the bytes that a terminal receives."""

import re

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n"]
BIDI = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]
TAGS = [chr(code) for code in (0xE0001, *range(0xE0020, 0xE0080))]
HOSTILE = [*CONTROLS, *BIDI, *TAGS]
"""Every character that must not reach a terminal."""

PARTS = ["".join(HOSTILE[start : start + 16]) for start in range(0, len(HOSTILE), 16)]
"""The same characters in short texts, which the program shows in full."""

SEQUENCES = (
    "\x1b]0;owned\x1b\\",
    "\x1b]2;owned\x07",
    "\x9d2;owned\x9c",
    "\x1b[?2004l",
    "\x1b[?1000l",
    "\x1b[?1049l",
    "\x9b?1049l",
    "\x1b[c",
    "\x1b[5n",
    "\x1b]52;c;b3duZWQ=\x07",
    "\x1bP+q544e\x1b\\",
    "\x1bc",
    "\x1b[2J",
)
"""Sequences that change a terminal, or make it send an answer, which would be typed text."""

EVERYTHING = "".join(HOSTILE) + "".join(SEQUENCES)

_OURS = re.compile(
    r"\x1b\[[0-9;:]*m"  # colours
    r"|\x1b\[[0-9;]*H"  # the cursor
    r"|\x1b\[\?(?:25|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)h"  # modes: switched on
    r"|\x1b\[\?(?:7|25|2026)l"  # modes: switched off
    r"|\x1b\[\?20(?:26|48)\$p|\x1b\[>\d+u"  # queries to the terminal
    r"|\x1b\]22;[a-z-]*\x07"  # the pointer shape
    r"|\x1b\]8;[^\x00-\x1f\x7f-\x9f]*\x1b\\"  # a link
)


_BEGUN = re.compile(r"\x1b(?:\[[\d;?]*)?\Z")
"""An incomplete sequence at the end of the bytes that were read."""


def foreign(written: bytes) -> list[str]:
    """Return the parts of a window's output that are neither text nor a sequence of Textual."""
    text = _BEGUN.sub("", written.decode("utf-8", "backslashreplace"))
    text = _OURS.sub("", text)
    found = re.findall(r".{0,8}[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f].{0,12}", text)
    return found + [character for character in (*BIDI, *TAGS) if character in text]
