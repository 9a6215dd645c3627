"""The output sanitizer: removes control characters from content before the terminal.

It also gives emoji a fixed width. Terminals disagree on the cells of an emoji with a variation
selector, a skin tone or a joiner, so that borders to the right of it would be displaced.
"""

import re

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from koel_tui.text import drop_controls

_UNCERTAIN_WIDTH = re.compile(
    "[\U0001f1e6-\U0001f1ff]{2}"
    "|[^\\s\x00-\x1f](?:[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff]"
    "|\u200d[\u2190-\u2bff\U0001f000-\U0001faff])+"
)
"""Flags, and characters with a variation selector, a keycap, a skin tone or joined emoji."""
_SAVE_CURSOR, _RESTORE_CURSOR, _FORWARD = "\x1b7", "\x1b8", "\x1b[{}C"


def install_output_sanitizer() -> None:
    """Strip control characters from every rendered strip, as a last line of defence.

    Neither Textual nor Rich does so. Every strip passes here once, right before it is written.
    """
    Strip.render = _render_sanitized  # type: ignore[assignment, method-assign]  # all text passes here


_render = Strip.render


def _render_sanitized(strip: Strip, console: Console) -> str:
    if strip._render_cache is None:
        written = [
            text if style is None or style._link is None else text + style._link
            for text, style, _ in strip._segments
        ]
        line = "".join(written)
        # A cheap check with false positives.
        if not line.isprintable() or (not line.isascii() and _UNCERTAIN_WIDTH.search(line)):
            strip = Strip(map(_sanitize, strip._segments), strip.cell_length)
    return _render(strip, console)


def _sanitize(segment: Segment) -> Segment:
    text, style, control = segment
    if control:
        return segment  # a control sequence of Textual
    if style is not None and style._link is not None:
        style = style.update_link(drop_controls(style._link))
    text = drop_controls(text)
    return Segment(text if text.isascii() else _UNCERTAIN_WIDTH.sub(_fix_width, text), style)


def _fix_width(found: "re.Match[str]") -> str:
    """Return an emoji after which the cursor is where it is expected, for every width.

    The spaces fill the cells that the terminal may leave out.
    """
    width = cell_len(found[0])
    if not width:
        return ""  # a part of an emoji whose rest has another style, for example at the cursor
    blank, emoji = (f"{_SAVE_CURSOR}{text}{_RESTORE_CURSOR}" for text in (" " * width, found[0]))
    return blank + emoji + _FORWARD.format(width)
