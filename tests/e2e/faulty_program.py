"""A program for tests: koel-chat with an injected fault. The first argument names the fault.

`disk` blocks saves while the file $HELD_BY exists. The others make a method raise an error whose
message contains an API key.
"""

import os
import sys
import threading
import time
from asyncio import iscoroutinefunction
from importlib import import_module
from pathlib import Path
from typing import Any

from koel_tui.cli.main import main

CANARY = "sk-canary-7f3a91c0"
FAULTS = {
    "mounting": "koel_tui.ui.app.main_screen:MainScreen.on_mount",
    "the start": "koel_tui.ui.app.app:KoelApp._start",
    "a timer": "koel_tui.ui.app.app:KoelApp._check",
    "a key": "koel_tui.ui.app.app:KoelApp.action_help",
    "a key that waits": "koel_tui.ui.app.app:KoelApp.action_copy_or_quit",
    "a worker": "koel_tui.ui.composer.external_editor:ExternalEditor._edit",
    "a panel": "koel_tui.ui.app.help_panel:HelpPanel.compose",
    "painting": "koel_tui.ui.composer.prompt:Prompt.render_line",
    "typing": "koel_tui.ui.composer.prompt:Prompt._on_key",
    "reading keys": "textual.drivers.linux_driver:LinuxDriver.process_message",
}
"""The methods that raise, by the name of the fault."""


def refuse(*_: object, **__: object) -> None:
    """Raise an error with an API key in a local variable and in the message."""
    api_key = CANARY
    raise RuntimeError(f"the service refused {api_key}")


async def refuse_later(*_: object) -> None:
    """Raise the same error from a coroutine."""
    refuse()


def hold_disk(hold: Path) -> None:
    """Block saves while the file `hold` exists; the file `hold`.on shows that one is blocked."""
    fsync = os.fsync

    def held(descriptor: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            while hold.exists():
                hold.with_suffix(".on").touch()
                time.sleep(0.005)
        fsync(descriptor)

    os.fsync = held  # type: ignore[assignment]  # narrower parameters


def break_at(place: str) -> None:
    """Replace a method by `refuse`, or by `refuse_later` if it is a coroutine."""
    module, _, path = place.partition(":")
    owner, method = path.split(".")
    broken = getattr(import_module(module), owner)
    waits = iscoroutinefunction(getattr(broken, method))
    setattr(broken, method, refuse_later if waits else refuse)


if __name__ == "__main__":
    fault = sys.argv.pop(1)
    if fault == "disk":
        hold_disk(Path(os.environ["HELD_BY"]))
    else:
        break_at(FAULTS[fault])
    main()
