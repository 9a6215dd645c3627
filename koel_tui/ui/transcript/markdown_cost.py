"""Estimates the cost of showing a message as Markdown."""

import re

MAX_CHARACTERS = 32 * 1024
"""Longer messages are shown as plain text."""
MAX_WIDGETS = 140
"""Messages that need more widgets are shown as plain text."""

_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]")
_FENCE = re.compile(r"[ \t]{0,3}(```|~~~)")


def estimate_widgets(text: str) -> int:
    """Estimate how many widgets Textual's Markdown creates for `text`; each costs milliseconds.

    A paragraph or heading is one, a list item four, a table cell one, a fence or quote two.
    """
    total = 0
    fence = ""
    in_paragraph = False
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1] == fence:
                fence = ""
        elif mark:
            fence = mark[1]
            total += 2
            in_paragraph = False
        elif not line.strip():
            in_paragraph = False
        elif _LIST_ITEM.match(line):
            total += 4
            in_paragraph = True
        elif "|" in line:
            total += line.count("|") + 1
            in_paragraph = False
        elif line.lstrip().startswith(">"):
            total += 0 if in_paragraph else 2
            in_paragraph = True
        elif not in_paragraph or line.startswith("#"):
            total += 1
            in_paragraph = not line.startswith("#")
    return total
