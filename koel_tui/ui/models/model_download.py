"""Getting a model: downloaded, tried, and only then said to be here. One at a time."""

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
from koel_tui.system.daemon_thread import in_daemon
from koel_tui.text import safe_line

_log = logging.getLogger(__name__)

Phase = Literal["idle", "asking", "coming", "stopping", "trying", "stopped", "failed", "done"]
_RATE_OVER = 5.0
"""Seconds over which the speed is the mean: what came from the disk is soon forgotten."""

Ended = Callable[[Path | None], None]
"""Hears that a download came to its end: with the model, or with None where there is none."""


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """Where a download stands; `problem` is why it failed, in words with the next step."""

    phase: Phase = "idle"
    name: str = ""
    done: int = 0
    total: int = 0
    per_s: float = 0.0
    problem: str = ""
    repo: str = ""
    files: tuple[str, ...] = ()
    """Those of the repository to choose from, where it was not clear which is meant."""

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.phase in ("asking", "coming", "stopping", "trying")

    @property
    def fraction(self) -> float:
        """How much of it is here, 0..1."""
        return self.done / self.total if self.total else 0.0

    @property
    def figures(self) -> str:
        """How much is here of how much, and how fast more comes; nothing while nobody knows."""
        if not self.total:
            return ""
        here = f"{self.fraction:.0%} of {formatting.size(self.total)}".replace("%", " %")
        return f"{here}, {formatting.size(round(self.per_s))}/s" if self.per_s else here

    @property
    def words(self) -> str:
        """What to say of it in one line while it goes on; nothing when it does not."""
        match self.phase:
            case "asking" | "coming":
                return f"downloading {self.name} {self.figures}".rstrip()
            case "stopping":
                return f"stopping the download of {self.name}…"
            case "trying":
                return f"trying {self.name}…"
            case _:
                return ""


class ModelDownload:
    """Owns the download that goes on, if one does. What it has brought stays when it is stopped."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """Make it; `changed` is called when it begins and when it comes to its end."""
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self._stop = threading.Event()
        self._rate = Rate()
        self._bytes = (0, 0)
        self._progress = DownloadProgress()

    @property
    def progress(self) -> DownloadProgress:
        """Where it stands now."""
        progress = self._progress
        if progress.phase != "asking":
            return progress
        done, total = self._bytes
        phase: Phase = "coming" if total else "asking"
        per_s = self._rate.per_s(monotonic())
        return replace(progress, phase=phase, done=done, total=total, per_s=per_s)

    def begin(self, repo: str, file: str | None, ended: Ended) -> None:
        """Download a model of a repository, unless something is; `ended` gets it if it works."""
        if self._task is not None:
            return
        self._stop, self._rate, self._bytes = threading.Event(), Rate(), (0, 0)
        self._progress = DownloadProgress(
            "asking", safe_line(repo.rpartition("/")[2], 60), repo=repo
        )
        self._task = asyncio.create_task(self._run(repo, file, ended), name="download")
        self._changed()

    def stop(self) -> None:
        """Stop what goes on; asked for again, a download goes on from there."""
        self._stop.set()
        if self._task is None:
            return
        if self._progress.phase == "trying":
            self._task.cancel()
        else:
            self._end("stopping")  # the server may keep it waiting for some seconds

    async def close(self) -> None:
        """End it now. What has come is kept, and nothing waits for the server."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, repo: str, file: str | None, ended: Ended) -> None:
        path: Path | None = None
        try:
            path = await in_daemon(lambda: self._pull(repo, file), "download")
            self._end("trying")
            problem = await _tried(path)
            self._end("failed" if problem else "done", problem)
        except asyncio.CancelledError:
            self._end("stopped")
            return  # whoever cancelled it knows
        except Exception as error:
            phase, problem, files = _outcome(error)
            self._end(phase, problem, files)
        finally:
            self._task = None
        ended(path if self._progress.phase == "done" else None)

    def _end(self, phase: Phase, problem: str = "", files: tuple[str, ...] = ()) -> None:
        done, total = self._bytes
        self._progress = replace(
            self._progress, phase=phase, done=done, total=total, problem=problem, files=files
        )
        self._changed()

    def _pull(self, repo: str, file: str | None) -> Path:
        from koel_tui import paths
        from koel_tui.models.download import Download
        from koel_tui.models.hub import Hub

        paths.private_directory(paths.data_dir())
        download = Download(paths.private_directory(paths.models_dir()), Hub())
        stop, rate = self._stop, self._rate

        def note(done: int, total: int) -> None:
            rate.note(monotonic(), done)
            self._bytes = (done, total)

        return download.pull(repo, file, on_progress=note, stop=stop)


class Rate:
    """How fast a count grows, over the last seconds; told by one thread, asked by another."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque(maxlen=50)

    def note(self, now: float, count: int) -> None:
        """Take note of the count at a time, in seconds of any clock."""
        if not self._noted or now - self._noted[-1][0] >= _RATE_OVER / 25:
            self._noted.append((now, count))

    def per_s(self, now: float) -> float:
        """Return the growth a second; 0 while it is too early to say, or nothing comes."""
        recent = [each for each in tuple(self._noted) if now - each[0] <= _RATE_OVER]
        if len(recent) < 2:
            return 0.0
        (began, had), (_, have) = recent[0], recent[-1]
        return max(0.0, (have - had) / max(1.0, now - began))


def _outcome(error: Exception) -> tuple[Phase, str, tuple[str, ...]]:
    """Return how a download ended by this error, what to say of it, and files to choose from."""
    from koel_tui.models.download import DownloadStopped
    from koel_tui.models.hub import UnclearFileError

    if isinstance(error, DownloadStopped):
        return "stopped", "", ()
    _log.info("A download failed: %r", error)
    if isinstance(error, UnclearFileError):
        return "failed", f"{error.question} Those there are stand in the list.", error.files
    return "failed", str(error) or type(error).__name__, ()


async def _tried(path: Path) -> str:
    """Return why a model cannot be used, with what to do then; empty when it can."""
    from koel_tui.models.probe import passed_models, probe_model

    verdict = await probe_model(path, await asyncio.to_thread(passed_models))
    if verdict.ok:
        return ""
    return f"{path.name} came whole, but cannot be used: {verdict.reason}. Choose another model."
