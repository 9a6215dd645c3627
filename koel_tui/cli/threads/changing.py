"""The commands `koel-chat threads rename`, `delete` and `restore`."""

import asyncio
from typing import TYPE_CHECKING

import click

from koel_tui.cli.dashes import quote_argument
from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.thread_completion import complete_thread, complete_trashed_thread
from koel_tui.cli.threads.resolve import resolve_summary, resolve_thread
from koel_tui.text import repair, safe_line, safe_text

if TYPE_CHECKING:
    from koel_tui.agents import Snapshots
    from koel_tui.storage import SessionStorage


@click.command()
@click.argument("thread", shell_complete=complete_thread)
@click.argument("title")
def rename(thread: str, title: str) -> None:
    """Change the title of a thread.

    \b
    Example:
      koel-chat threads rename 3f2a "Trip to Rome"
    """
    from koel_tui.cli.wiring import open_storage

    new = " ".join(repair(title).split())
    if not new:
        raise UsageProblem("The title is empty. Give at least one character.")
    asyncio.run(_rename(open_storage(), thread, new))


@click.command()
@click.argument(
    "threads", metavar="THREAD...", nargs=-1, required=True, shell_complete=complete_thread
)
def delete(threads: tuple[str, ...]) -> None:
    """Move threads to the trash.

    `koel-chat threads restore` restores them. They stay in the trash for 30 days.
    """
    from koel_tui.cli.wiring import open_snapshots, open_storage

    asyncio.run(_delete(open_storage(), open_snapshots(), threads))


@click.command()
@click.argument(
    "threads", metavar="THREAD...", nargs=-1, required=True, shell_complete=complete_trashed_thread
)
def restore(threads: tuple[str, ...]) -> None:
    """Restore threads from the trash.

    `koel-chat threads list --trash` lists them.
    """
    from koel_tui.cli.wiring import open_storage

    asyncio.run(_restore(open_storage(), threads))


async def _rename(storage: "SessionStorage", title_or_id: str, title: str) -> None:
    await storage.update_meta(await resolve_thread(storage, title_or_id), title=title)


async def _delete(
    storage: "SessionStorage", kv_snapshots: "Snapshots", titles_or_ids: tuple[str, ...]
) -> None:
    # Resolve all names before deleting, so that a mistyped name changes nothing.
    for thread_id in [await resolve_thread(storage, word) for word in titles_or_ids]:
        await storage.trash(thread_id)
        kv_snapshots.remove(thread_id)
        command = f"koel-chat threads restore {quote_argument(thread_id)}"
        click.echo(f"{safe_line(thread_id)} is in the trash. To restore it: {safe_text(command)}")


async def _restore(storage: "SessionStorage", titles_or_ids: tuple[str, ...]) -> None:
    trashed = await storage.trashed()
    for thread_id in [resolve_summary(trashed, word) for word in titles_or_ids]:
        await storage.restore(thread_id)
        click.echo(f"Restored {safe_line(thread_id)}.")
