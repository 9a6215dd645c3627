"""The command `koel-chat threads import`."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.formatting import format_bytes, truncate
from koel_tui.system.regular_files import expand_user
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.storage import SessionStorage, StorageError
    from koel_tui.storage.interchange import ImportFormat, ImportProblem, SavedThreads, Stored

_PROGRESS_SECONDS = 0.1
_DEFAULT_COLUMNS = 80
"""The width of a terminal that does not tell its width."""
_FORMATS = ("json", "koel", "chatgpt", "oterm", "elia", "llm")


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--format", "format_name", type=click.Choice(_FORMATS), help="Default: detected.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per thread.")
def import_threads(files: tuple[Path, ...], format_name: str | None, as_json: bool) -> int:
    """Add the threads in files to the saved ones.

    It overwrites no thread. A thread that was imported before gets the messages
    that are new in the file; importing a file twice adds nothing. It reads the JSON
    of koel-chat and of Koel, exports of ChatGPT (conversations.json, or the zip with
    it), and the databases of oterm (store.db), elia (elia.sqlite) and llm (logs.db). If a
    file or a thread in it cannot be imported, the others are, and the exit code is 66.

    \b
    Examples:
      koel-chat threads import conversations.json
      koel-chat threads import --format llm ~/.config/io.datasette.llm/logs.db
    """
    from koel_tui.cli.wiring import open_storage
    from koel_tui.storage.interchange import ImportFormat

    import_format = None if format_name is None else ImportFormat(format_name)
    return asyncio.run(_import(open_storage(), files, import_format, as_json))


async def _import(
    storage: "SessionStorage",
    files: tuple[Path, ...],
    import_format: "ImportFormat | None",
    as_json: bool,
) -> int:
    """Import the files; report unreadable ones and continue with the others."""
    from koel_tui.storage.interchange import SavedThreads

    progress, saved_threads = _Progress(), SavedThreads(storage)
    counts: Counter[str] = Counter()
    try:
        for file in files:
            progress.start(file)
            async for found in _import_file(storage, saved_threads, file, import_format, progress):
                progress.clear()
                if isinstance(found, Exception):
                    counts["problem"] += 1
                    print_notice(safe_line(f"koel-chat: {found}", 1000))
                else:
                    counts[_outcome(found)] += 1
                    progress.count += 1
                    click.echo(_format_stored(found, as_json))
                    progress.redraw()
            progress.clear()
    except BaseException:  # ctrl+c, or a storage that cannot be written
        progress.clear()
        if counts.total():
            print_notice(
                f"The import was stopped: {_format_counts(counts)} Run the same command again to "
                "continue; saved threads are not imported twice."
            )
        raise
    if counts.total() > 1 and not as_json:
        print_notice(_format_counts(counts))
    return Exit.NO_FILE if counts["problem"] else Exit.OK


async def _import_file(
    storage: "SessionStorage",
    saved_threads: "SavedThreads",
    file: Path,
    import_format: "ImportFormat | None",
    progress: "_Progress",
) -> "AsyncIterator[Stored | ImportProblem | StorageError]":
    """Store the threads of a file; yield each, or the reason why it cannot be read or saved."""
    from koel_tui.storage import DamagedThreadError, FutureSchemaError, ThreadLockedError
    from koel_tui.storage.interchange import ImportProblem, read_threads, store_thread
    from koel_tui.storage.recovery_files import is_recovery_file

    try:
        if import_format is None and is_recovery_file(file):
            for stored in await _restore(storage, expand_user(file)):
                yield stored
            return
        threads = read_threads(expand_user(file), import_format, progress.show)
        # A conversation may be large: it must not be in memory while the next one is read.
        while (found := next(threads, None)) is not None:
            if isinstance(found, ImportProblem):
                yield found
                continue
            storing = store_thread(storage, found, saved_threads)
            found = None
            try:
                yield await storing
            except (DamagedThreadError, FutureSchemaError, ThreadLockedError) as error:
                yield error  # only this thread cannot be written; the others are imported
            finally:
                del storing
    except ImportProblem as problem:
        yield problem


class _Progress:
    """A line on a terminal with the part of a file that was read; it is erased at the end."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._name, self._is_shown, self._shown_at = "", False, 0.0
        self._done = self._total = 0
        self.count = 0

    def start(self, file: Path) -> None:
        """Show the progress of this file from now on."""
        self._name, self.count, self._total = safe_line(file.name, 40), 0, 0

    def show(self, done: int, total: int) -> None:
        """Replace the line, at most ten times per second."""
        self._done, self._total = done, total
        if time.monotonic() >= self._shown_at + _PROGRESS_SECONDS:
            self.redraw()

    def redraw(self) -> None:
        """Show the line again, after something else was printed."""
        if not self._is_terminal or not self._total:
            return
        self._shown_at, self._is_shown = time.monotonic(), True
        percent = self._done * 100 // self._total
        line = f"{self._name}: {percent}% of {format_bytes(self._total)}, {self.count:,} threads"
        print_notice(f"\r\x1b[K{_cut_to_terminal(line)}", newline=False)

    def clear(self) -> None:
        """Erase the line before something else is printed."""
        if self._is_shown:
            self._is_shown = False
            print_notice("\r\x1b[K", newline=False)


def _cut_to_terminal(line: str) -> str:
    """Cut a line to the terminal of stderr, because a wrapped line could not be erased."""
    columns = 0
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    return truncate(line, (columns or _DEFAULT_COLUMNS) - 1)


async def _restore(storage: "SessionStorage", file: Path) -> "list[Stored]":
    """Restore a recovery file of the app; each unsent text in it becomes a separate thread."""
    from koel_tui.storage.errors import NotAThreadError
    from koel_tui.storage.interchange import ImportProblem, store_thread
    from koel_tui.storage.recovery_files import read_recovery_file, restore_thread
    from koel_tui.workspace.recovery import drafts_as_threads

    try:
        unsaved = read_recovery_file(file, getattr(storage, "codec", None))
        typed = drafts_as_threads(unsaved)
    except (OSError, NotAThreadError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ImportProblem(
            file, reason, "Check that it is the right file and that it is complete."
        ) from error
    stored = [await restore_thread(storage, thread) for thread in unsaved.threads]
    return stored + [await store_thread(storage, thread) for thread in typed]


def _format_counts(counts: Counter[str]) -> str:
    return (
        f"{counts['new']:,} imported, {counts['extended']:,} extended, "
        f"{counts['saved']:,} already saved, {counts['problem']:,} not imported."
    )


def _outcome(stored: "Stored") -> str:
    if stored.is_new:
        return "new"
    return "extended" if stored.added else "saved"


def _format_stored(stored: "Stored", as_json: bool) -> str:
    if as_json:
        row = {"id": stored.id, "title": stored.title, "new": stored.is_new, "added": stored.added}
        return json.dumps(row)
    added = "1 new message" if stored.added == 1 else f"{stored.added:,} new messages"
    notes = {"new": "", "extended": f"  ({added})", "saved": "  (already saved)"}
    note = notes[_outcome(stored)]
    return f"{safe_line(stored.id)}  {safe_line(stored.title, 60) or '(empty)'}{note}"
