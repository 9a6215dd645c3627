"""The browser of this desktop, for an address that was checked and confirmed."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence

_DISPLAYS = ("WAYLAND_DISPLAY", "DISPLAY")


class NoBrowserError(Exception):
    """Nothing here opens an address; the message says what to do instead."""


def browser_of(
    environment: Mapping[str, str],
    platform: str = sys.platform,
    which: Callable[[str], str | None] = shutil.which,
) -> Sequence[str]:
    """Return the command that opens an address on this desktop; empty when there is none.

    Without a desktop there is none: a browser for terminals would write over the window.
    """
    if "SSH_CONNECTION" in environment or "SSH_TTY" in environment:
        return ()  # it would open on the other machine
    if platform == "darwin":
        return ("open",)
    displayed = any(environment.get(name) for name in _DISPLAYS)
    return ("xdg-open",) if displayed and which("xdg-open") else ()


async def browse(url: str, environment: Mapping[str, str]) -> None:
    """Hand `url` to the browser and leave it alone. Raises `NoBrowserError`."""
    command = browser_of(environment)
    if not command:
        raise NoBrowserError("There is no browser here. Copy the address instead.")
    try:
        # In a session of its own: what happens to this terminal is no matter of the browser's.
        process = await asyncio.create_subprocess_exec(
            *command,
            url,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise NoBrowserError(f"{command[0]} cannot be started: {error.strerror}.") from error
    if code := await process.wait():
        raise NoBrowserError(f"{command[0]} ended with {code}. Copy the address instead.")
