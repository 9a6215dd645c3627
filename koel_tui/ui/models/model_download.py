"""Model downloads: one at a time, and successful only after the model was verified."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Literal

from koel_tui import formatting
from koel_tui.system.daemon_thread import run_in_daemon_thread
from koel_tui.text import safe_line

_log = logging.getLogger(__name__)

Phase = Literal[
    "idle", "resolving", "downloading", "stopping", "verifying", "stopped", "failed", "done"
]
_RATE_PERIOD = 5.0
"""Averaging period of the speed in seconds; short, so that resumed data soon drops out."""

OnEnd = Callable[[Path | None], None]
"""Callback at the end of a download: receives the model's path, or None on failure."""


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """The state of a download; `problem` is the error with the next step for the user."""

    phase: Phase = "idle"
    name: str = ""
    done: int = 0
    total: int = 0
    per_s: float = 0.0
    problem: str = ""
    repo: str = ""
    files: tuple[str, ...] = ()
    """The files of the repository to choose from if the requested file was ambiguous."""

    @property
    def running(self) -> bool:
        """True if a download is running."""
        return self.phase in ("resolving", "downloading", "stopping", "verifying")

    @property
    def fraction(self) -> float:
        """The downloaded fraction, 0 to 1."""
        return self.done / self.total if self.total else 0.0

    @property
    def size_and_speed(self) -> str:
        """The downloaded fraction, the total size and the speed; empty while unknown."""
        if not self.total:
            return ""
        size = f"{self.fraction:.0%} of {formatting.format_bytes(self.total)}"
        return f"{size}, {formatting.format_bytes(round(self.per_s))}/s" if self.per_s else size

    @property
    def status_text(self) -> str:
        """A one-line description while the download runs, else empty."""
        match self.phase:
            case "resolving" | "downloading":
                return f"downloading {self.name} {self.size_and_speed}".rstrip()
            case "stopping":
                return f"stopping the download of {self.name}…"
            case "verifying":
                return f"verifying {self.name}…"
            case _:
                return ""


class ModelDownload:
    """Runs at most one download. Downloaded data is kept when it is stopped."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called when the download starts, changes phase or ends."""
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()
        self._rate = Rate()
        self._bytes = (0, 0)
        """The downloaded and the total bytes; one value, because a worker thread sets both."""
        self._progress = DownloadProgress()

    @property
    def progress(self) -> DownloadProgress:
        """The current state."""
        progress = self._progress
        if progress.phase != "resolving":
            return progress
        done, total = self._bytes
        phase: Phase = "downloading" if total else "resolving"
        per_s = self._rate.per_s(monotonic())
        return replace(progress, phase=phase, done=done, total=total, per_s=per_s)

    def start(self, repo: str, file: str | None, on_end: OnEnd) -> None:
        """Start a download unless one is running; `on_end` receives the path if the model works."""
        if self._task is not None:
            return
        self._stop, self._rate, self._bytes = threading.Event(), Rate(), (0, 0)
        self._progress = DownloadProgress(
            "resolving", safe_line(repo.rpartition("/")[2], 60), repo=repo
        )
        self._task = asyncio.create_task(self._run(repo, file, on_end), name="download")
        self._changed()

    def stop(self) -> None:
        """Stop the download; the next request for the same file resumes it."""
        self._stop.set()
        if self._task is None:
            return
        if self._progress.phase == "verifying":
            self._task.cancel()
        else:
            self._set_phase("stopping")  # the server may take some seconds to answer

    async def close(self) -> None:
        """Stop immediately, without waiting for the server; downloaded data is kept."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, repo: str, file: str | None, on_end: OnEnd) -> None:
        path: Path | None = None
        try:
            path = await run_in_daemon_thread(lambda: self._download_file(repo, file), "download")
            self._set_phase("verifying")
            problem = await _verify(path)
            self._set_phase("failed" if problem else "done", problem)
        except asyncio.CancelledError:
            self._set_phase("stopped")
            return  # the caller that cancelled needs no callback
        except Exception as error:
            phase, problem, files = _classify_error(error)
            self._set_phase(phase, problem, files)
        finally:
            self._task = None
        on_end(path if self._progress.phase == "done" else None)

    def _set_phase(self, phase: Phase, problem: str = "", files: tuple[str, ...] = ()) -> None:
        done, total = self._bytes
        self._progress = replace(
            self._progress, phase=phase, done=done, total=total, problem=problem, files=files
        )
        self._changed()

    def _download_file(self, repo: str, file: str | None) -> Path:
        from koel_tui import paths
        from koel_tui.models.download import Download
        from koel_tui.models.hub import Hub

        paths.private_directory(paths.data_dir())
        download = Download(paths.private_directory(paths.models_dir()), Hub())
        stop, rate = self._stop, self._rate

        def record(done: int, total: int) -> None:
            rate.record(monotonic(), done)
            self._bytes = (done, total)

        return download.pull(repo, file, on_progress=record, stop=stop)


class Rate:
    """The growth rate of a count over the last seconds; written by one thread, read by another."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=50)

    def record(self, now: float, count: int) -> None:
        """Record the count at a time in seconds of any clock."""
        if not self._samples or now - self._samples[-1][0] >= _RATE_PERIOD / 25:
            self._samples.append((now, count))

    def per_s(self, now: float) -> float:
        """Return the growth per second; 0 if it is not yet known or nothing arrives."""
        recent = [each for each in tuple(self._samples) if now - each[0] <= _RATE_PERIOD]
        if len(recent) < 2:
            return 0.0
        (first_time, first_count), (_, last_count) = recent[0], recent[-1]
        # Over at least a second: the first samples are too close together for a speed.
        return max(0.0, (last_count - first_count) / max(1.0, now - first_time))


def _classify_error(error: Exception) -> tuple[Phase, str, tuple[str, ...]]:
    """Return the phase, the message and the candidate files for a failed download."""
    from koel_tui.models.download import DownloadStopped
    from koel_tui.models.hub import AmbiguousFileError

    if isinstance(error, DownloadStopped):
        return "stopped", "", ()
    _log.info("A download failed: %r", error)
    if isinstance(error, AmbiguousFileError):
        return "failed", f"{error.question} Choose a file from the list.", error.files
    return "failed", str(error) or type(error).__name__, ()


async def _verify(path: Path) -> str:
    """Return why a model cannot be used and what to do; empty if it works."""
    from koel_tui.models.probe import probe_model, verified_models

    verdict = await probe_model(path, await asyncio.to_thread(verified_models))
    if verdict.ok:
        return ""
    return f"{path.name} was downloaded but cannot be used: {verdict.reason}. Choose another model."
