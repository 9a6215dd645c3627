"""The output sanitizer: removes control characters from content before the terminal."""

from rich.console import Console
from rich.segment import Segment
from textual.strip import Strip

from koel_tui.text import drop_controls


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
        if not "".join(written).isprintable():  # cheap check with false positives
            strip = Strip(map(_sanitize, strip._segments), strip.cell_length)
    return _render(strip, console)


def _sanitize(segment: Segment) -> Segment:
    text, style, control = segment
    if control:
        return segment  # a control sequence of Textual
    if style is not None and style._link is not None:
        style = style.update_link(drop_controls(style._link))
    return Segment(drop_controls(text), style)
