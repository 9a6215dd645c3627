"""Random terminal input through the real driver in a pseudo-terminal."""

import contextlib
import time
from random import Random

import pytest

from koel_tui import paths
from tests.e2e.terminal import Terminal
from tests.fuzzed_input import sequence

_WITHOUT_KEY = (
    "copy_or_quit", "model", "palette", "prompt.editor", "prompt.send", "quit",
    "run.regenerate", "settings", "tab.open", "thread.settings",
)  # fmt: skip
"""Actions that quit, start a program or change settings; without them only a fault ends it."""
_AT_ONCE = 100


def _wait_for_keys(terminal: Terminal) -> None:
    """Clear the prompt and check that f1 works; retry, because a late panel may take keys."""
    for shown in (True, False):
        for _ in range(30):
            terminal.type("\x1b[I" + "\x1b[27u" * 3 + "\x1b[18~\x1b[3~" + "\x1bOP" * shown)
            with contextlib.suppress(AssertionError):
                terminal.until(lambda screen, shown=shown: ("─ Keys ─" in screen) == shown, 2)  # type: ignore[misc]
                break
        else:
            raise AssertionError("no key works")


@pytest.mark.parametrize(
    "count", [100, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_report_34_no_terminal_input_ends_the_program(count: int) -> None:
    config = paths.config_file()
    config.parent.mkdir(parents=True, exist_ok=True)
    without = "".join(f'"{name}" = "none"\n' for name in _WITHOUT_KEY)
    config.write_text(f"[keys]\n{without}")
    random = Random(count)
    with Terminal() as terminal:
        terminal.until(lambda screen: "Ask" in screen)
        for _ in range(0, count, _AT_ONCE):
            terminal.type("".join(sequence(random) for _ in range(_AT_ONCE)))
            time.sleep(1.2)  # a paste without an end marker ends after 1 s
            terminal.type("\x03")  # ends the paste
            time.sleep(0.3)
            _wait_for_keys(terminal)
        terminal.child.kill(15)
        # 74: after thousands of keys, a busy machine may not save everything before the deadline.
        assert terminal.wait() in (128 + 15, 74)
        assert terminal.restored()
        assert "internal error" not in terminal.text
