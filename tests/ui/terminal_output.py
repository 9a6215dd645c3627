"""The hostile text for every place that shows untrusted text, and the check of the output.

The check reads the strips before the output sanitizer: each place must be harmless without it.
"""

from collections.abc import Callable

import pytest

from tests.hostile import EVERYTHING, HOSTILE, PARTS
from tests.hostile_summary import Tally
from tests.ui.window import Window

WORST = f"<{EVERYTHING}>"
SIZE = (120, 60)
TEXTS = [
    pytest.param(WORST, id="everything"),
    *(pytest.param(f"<{part}>", id=f"U+{ord(part[0]):04X}", marks=pytest.mark.slow)
      for part in PARTS),
]  # fmt: skip
"""All parts in one text; in the long run also each part, for places that show few characters."""

Harmless = Callable[[Window | str], None]


def raw(window: Window) -> str:
    """Return all text on all screens, before the output sanitizer."""
    return "".join(
        segment.text
        for screen in window.app.screen_stack
        for strip in screen._compositor.render_strips()
        for segment in strip
    )


def assert_harmless(window: Window) -> None:
    assert not set(raw(window)) & set(HOSTILE)


@pytest.fixture(params=TEXTS)
def worst(request: pytest.FixtureRequest) -> str:
    """A text with characters that must not reach a terminal."""
    return str(request.param)


@pytest.fixture
def harmless(worst: str, tally: Tally) -> Harmless:
    """Return a check of a place that shows `worst`; the check counts the control characters."""

    def look(shown: Window | str) -> None:
        text = shown if isinstance(shown, str) else raw(shown)
        assert not set(text) & set(HOSTILE), [repr(c) for c in HOSTILE if c in text]
        tally("control characters", tried=len(set(worst) & set(HOSTILE)))

    return look
