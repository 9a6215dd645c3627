"""The command `koel-chat threads export`."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.thread_completion import complete_thread
from koel_tui.cli.threads.resolve import resolve_thread
from koel_tui.system.regular_files import is_directory
from koel_tui.text import repair, safe_text

if TYPE_CHECKING:
    from koel_tui.storage import SessionStorage

_FORMATS = ("json", "koel", "markdown", "html")


@click.command()
@click.argument("thread", shell_complete=complete_thread)
@click.option(
    "--format",
    "format_name",
    type=click.Choice(_FORMATS),
    default="markdown",
    help="Default: markdown.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    help="File or directory to write to; - is stdout (default: a file named after the title).",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export(thread: str, format_name: str, output: Path | None, force: bool) -> None:
    """Write a thread to a file: Markdown, HTML or JSON.

    `koel` is the JSON of Koel, `json` that of koel-chat. The file is never
    encrypted, also if the saved threads are.

    \b
    Examples:
      koel-chat threads export "Trip to Rome"
      koel-chat threads export 3f2a --format json --output - | jq .
    """
    from koel_tui.cli.wiring import open_storage

    asyncio.run(_export(open_storage(), thread, format_name, output, force))


async def _export(
    storage: "SessionStorage", title_or_id: str, format_name: str, output: Path | None, force: bool
) -> None:
    from koel_tui.storage.interchange import ExportFormat, export_thread, file_name, load_thread

    thread = await load_thread(storage, await resolve_thread(storage, title_or_id))
    export_format = ExportFormat(format_name)
    text = export_thread(thread, export_format)
    if output == Path("-"):
        # Another program reads the same UTF-8 as in a file, in every locale.
        click.echo(text if sys.stdout.isatty() else repair(text).encode(), nl=False)
        return
    path = output or Path()
    if is_directory(path):
        path /= file_name(thread.title, export_format.suffix)
    _write(path, text, force=force)
    click.echo(safe_text(str(path)))


def _write(path: Path, text: str, *, force: bool) -> None:
    """Create a file; with `force` replace an existing one.

    Links are not followed: an existing link is an error, and `force` replaces the link itself.
    """
    from koel_tui.storage import StorageError
    from koel_tui.system.atomic_write import write_atomically
    from koel_tui.system.new_file import write_exclusive

    try:
        if force:
            write_atomically(path, repair(text).encode())
        else:
            write_exclusive(path, repair(text).encode(), private=True)
    except FileExistsError:
        raise UsageProblem(f"{path} already exists. Add --force to replace it.") from None
    except (OSError, ValueError) as error:
        raise StorageError(
            f"Cannot write {path}: {getattr(error, 'strerror', None) or error}. "
            "Choose another path with --output."
        ) from error
