"""Opening a checked and confirmed URL in the desktop's browser."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

_DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")


class NoBrowserError(Exception):
    """No browser could open the URL; the message gives the reason or an alternative."""


def browser_command(
    environment: Mapping[str, str],
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> Sequence[str]:
    """Return the command that opens a URL on this desktop, or () if there is none.

    Without a desktop there is none, because a terminal browser would overwrite the app.
    """
    if "SSH_CONNECTION" in environment or "SSH_TTY" in environment:
        return ()  # the browser would open on the remote machine
    if platform == "darwin":
        return ("open",)
    displayed = any(environment.get(name) for name in _DISPLAYS)
    return ("xdg-open",) if displayed and which("xdg-open") else ()


async def open_in_browser(url: str, environment: Mapping[str, str]) -> None:
    """Open `url` in the browser, detached from this program. Raises `NoBrowserError`."""
    command = browser_command(environment)
    if not command:
        raise NoBrowserError("There is no browser here. Copy the address instead.")
    try:
        # A new process session, so that signals of this terminal do not reach the browser.
        process = await asyncio.create_subprocess_exec(
            *command,
            url,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise NoBrowserError(
            f"{command[0]} cannot be started: {error.strerror}. Copy the address instead."
        ) from error
    if code := await process.wait():
        raise NoBrowserError(f"{command[0]} ended with {code}. Copy the address instead.")
