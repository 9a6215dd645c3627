"""The command `koel-chat models pull`."""

import shlex
import sys
import time

import click

from koel_tui.cli.stdio.streams import print_notice
from koel_tui.formatting import format_bytes
from koel_tui.text import safe_line

_INTERVAL_S = 0.1


@click.command()
@click.argument("repo")
@click.argument("file", required=False)
def pull(repo: str, file: str | None) -> None:
    """Download a GGUF model from Hugging Face; REPO is OWNER/NAME.

    FILE is a file in it or a part of its name, for example Q8_0 (default: the file with Q4_K_M). If
    a download was interrupted, the same command continues it.
    """
    from koel_tui import paths
    from koel_tui.models.download import Download
    from koel_tui.models.hub import Hub

    paths.private_directory(paths.data_dir())
    download = Download(paths.private_directory(paths.models_dir()), Hub())
    line = ProgressLine(shown=sys.stderr.isatty())
    try:
        path = download.pull(repo, file, on_progress=line.show)
    except KeyboardInterrupt:
        line.clear()
        print_notice("Stopped. The same command continues the download.")
        raise
    finally:
        line.clear()
    click.echo(safe_line(str(path), 5000))
    if sys.stderr.isatty():
        print_notice(safe_line(f"Run it: koel-chat --model {shlex.quote(path.stem)}", 5000))


class ProgressLine:
    """The progress line of a download on stderr."""

    def __init__(self, *, shown: bool) -> None:
        self._is_shown = shown
        self._start: tuple[float, int] | None = None
        self._last_update = 0.0
        self._is_open = False

    def show(self, done: int, total: int) -> None:
        """Show `done` of `total` bytes, throttled to ten updates a second."""
        now = time.monotonic()
        if not self._is_shown or (now - self._last_update < _INTERVAL_S and done < total):
            return
        self._start = self._start or (now, done)
        self._last_update, self._is_open = now, True
        print_notice(
            f"\r\x1b[K{_format_progress(done, total, self._speed(now, done))}", newline=False
        )

    def clear(self) -> None:
        """Erase the line."""
        if self._is_open:
            print_notice("\r\x1b[K", newline=False)
        self._is_open = False

    def _speed(self, now: float, done: int) -> float:
        """Return the bytes per second since the first update; 0 during the first second."""
        start, start_bytes = self._start or (now, done)
        return (done - start_bytes) / (now - start) if now - start >= 1 else 0.0


def _format_progress(done: int, total: int, bytes_per_s: float) -> str:
    percent = 100 * done // max(1, total)
    speed = f"  {format_bytes(round(bytes_per_s))}/s" if bytes_per_s else ""
    left = (
        f"  {_format_duration((total - done) / bytes_per_s)} left"
        if bytes_per_s and done < total
        else ""
    )
    return f"{percent:3}%  {format_bytes(done)} of {format_bytes(total)}{speed}{left}"


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )
