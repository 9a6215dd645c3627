"""Fixtures of the window tests. Without a limit of the CPU share, the window paints at once."""

import pytest

from koel_tui.ui.widgets import throttle
from tests.ui.terminal_output import harmless, worst

__all__ = ["harmless", "worst"]


@pytest.fixture(autouse=True)
def paint_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "CPU_SHARE", 1.0)
