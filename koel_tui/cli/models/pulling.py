"""The command `koel-chat models pull`."""

import shlex
import sys
import time

import click

from koel_tui.cli.models.sizes import size_shown
from koel_tui.text import safe_line

_GAP_S = 0.1


@click.command()
@click.argument("repo")
@click.argument("file", required=False)
def pull(repo: str, file: str | None) -> None:
    """Download a GGUF model from Hugging Face; REPO is OWNER/NAME.

    FILE is a file of it, or a part of its name like Q8_0 (default: the one with Q4_K_M). Broken off
    or stopped, the same command goes on where it was.
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
        line.end()
        click.echo("Stopped. What has come is kept: the same command goes on from there.", err=True)
        raise
    finally:
        line.end()
    click.echo(safe_line(str(path), 5000))
    if sys.stderr.isatty():
        click.echo(safe_line(f"Run it: koel-chat --model {shlex.quote(path.stem)}", 5000), err=True)


class ProgressLine:
    """The progress line of a download on stderr."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._begin: tuple[float, int] | None = None
        self._last = 0.0
        self._open = False

    def show(self, done: int, total: int) -> None:
        """Show `done` of `total` bytes, throttled to ten updates a second."""
        now = time.monotonic()
        if not self._shown or (now - self._last < _GAP_S and done < total):
            return
        self._begin = self._begin or (now, done)
        self._last, self._open = now, True
        click.echo(f"\r\x1b[K{_words(done, total, self._speed(now, done))}", nl=False, err=True)

    def end(self) -> None:
        """Erase the line."""
        if self._open:
            click.echo("\r\x1b[K", nl=False, err=True)
        self._open = False

    def _speed(self, now: float, done: int) -> float:
        """Return the bytes per second since the first update; 0 during the first second."""
        begin, had = self._begin or (now, done)
        return (done - had) / (now - begin) if now - begin >= 1 else 0.0


def _words(done: int, total: int, per_s: float) -> str:
    percent = 100 * done // max(1, total)
    speed = f"  {size_shown(round(per_s))}/s" if per_s else ""
    left = f"  {_duration((total - done) / per_s)} left" if per_s and done < total else ""
    return f"{percent:3} %  {size_shown(done)} of {size_shown(total)}{speed}{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return (
        f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"
    )
