"""NO_COLOR: the window uses only shades of grey."""

import re

from tests.e2e.terminal import Terminal

_STYLES = re.compile(rb"\x1b\[([0-9;]*)m")
_RGB = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")
_NAMED = re.compile(rb"(?:^|;)(?:[349][0-7]|10[0-7]|[34]8;5;\d+)(?=;|$)")


def painted(**environment: str) -> set[bytes]:
    """Return the styles that the window sends, with the key list and the command palette."""
    with Terminal(environment={"COLORTERM": "truecolor", **environment}) as terminal:
        terminal.until(lambda screen: "Ask anything." in screen)
        terminal.press("f1")
        terminal.until(lambda screen: "esc closes" in screen)
        terminal.press("escape")
        terminal.until(lambda screen: "esc closes" not in screen)
        terminal.press("ctrl+p")
        terminal.until(lambda screen: "Search for commands" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        return set(_STYLES.findall(terminal.bytes))


def colors(styles: set[bytes]) -> set[bytes]:
    """Return the styles with a colour: RGB with different components, or a palette colour."""
    return {
        style
        for style in styles
        if any(len({*parts}) > 1 for parts in _RGB.findall(style))
        or _NAMED.search(_RGB.sub(b"", style))
    }


def test_no_color_reaches_the_terminal() -> None:
    assert colors(painted()), "a window has colours"
    styles = painted(NO_COLOR="1")
    assert styles and not colors(styles)
