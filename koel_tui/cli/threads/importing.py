"""The command `koel-chat threads import`."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exit_codes import Exit
from koel_tui.system.regular_files import expand_user
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.storage import SessionStorage
    from koel_tui.storage.interchange import ImportFormat, ImportProblem, Stored

_FORMATS = ("json", "koel", "chatgpt", "oterm", "elia", "llm")


@click.command("import")
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option("--format", "format_name", type=click.Choice(_FORMATS), help="Default: detected.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per thread.")
def import_threads(files: tuple[Path, ...], format_name: str | None, as_json: bool) -> int:
    """Add the threads in files to the saved ones.

    It overwrites no thread. It reads the JSON of koel-chat and of Koel, exports of ChatGPT
    (conversations.json, or the zip with it), and the databases of oterm (store.db), elia
    (elia.sqlite) and llm (logs.db). If a file or a thread in it cannot be imported, the others are,
    and the exit code is 66.

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
    from koel_tui.storage.interchange import ImportProblem

    problems = 0
    for file in files:
        async for found in _import_file(storage, file, import_format):
            if isinstance(found, ImportProblem):
                problems += 1
                click.echo(safe_line(f"koel-chat: {found}", 1000), err=True)
            else:
                click.echo(_format_stored(found, as_json))
    return Exit.NO_FILE if problems else Exit.OK


async def _import_file(
    storage: "SessionStorage", file: Path, import_format: "ImportFormat | None"
) -> "AsyncIterator[Stored | ImportProblem]":
    """Store the threads of a file; yield each, or the reason why it cannot be read."""
    from koel_tui.storage.interchange import ImportProblem, read_threads, store_thread
    from koel_tui.storage.recovery_files import is_recovery_file

    try:
        if import_format is None and is_recovery_file(file):
            for stored in await _restore(storage, expand_user(file)):
                yield stored
            return
        for found in read_threads(expand_user(file), import_format):
            yield found if isinstance(found, ImportProblem) else await store_thread(storage, found)
    except ImportProblem as problem:
        yield problem


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


def _format_stored(stored: "Stored", as_json: bool) -> str:
    if as_json:
        return json.dumps({"id": stored.id, "title": stored.title, "new": stored.is_new})
    note = "" if stored.is_new else "  (already saved)"
    return f"{safe_line(stored.id)}  {safe_line(stored.title, 60) or '(empty)'}{note}"
