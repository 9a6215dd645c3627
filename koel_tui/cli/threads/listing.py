"""The commands `koel-chat threads list` and `show`."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.cli.thread_completion import complete_thread
from koel_tui.cli.threads.resolve import resolve_thread
from koel_tui.text import safe_line, safe_text

if TYPE_CHECKING:
    from koel_tui.protocol import Message
    from koel_tui.storage import SessionStorage, Summary


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--trash", is_flag=True, help="List the deleted threads that can be restored.")
def list_threads(as_json: bool, trash: bool) -> None:
    """List the saved threads, the last changed first.

    A line has the beginning of the id, the time of the last change, the number of messages and the
    title.
    """
    from koel_tui.cli.wiring import open_storage

    storage = open_storage()
    for row in asyncio.run(storage.trashed() if trash else storage.summaries()):
        click.echo(json.dumps(_as_json(row)) if as_json else _format_line(row))
    for damaged in storage.damaged:
        print_notice(safe_line(f"damaged: {damaged.path}: {damaged.reason}", 500))


@click.command()
@click.argument("thread", shell_complete=complete_thread)
@click.option("--json", "as_json", is_flag=True, help="Print the state as it is saved.")
def show(thread: str, as_json: bool) -> None:
    """Print the messages of a thread."""
    from koel_tui.cli.wiring import open_storage

    asyncio.run(_show(open_storage(), thread, as_json))


async def _show(storage: "SessionStorage", title_or_id: str, as_json: bool) -> None:
    from koel_tui.protocol import encode_state

    state = await storage.load(await resolve_thread(storage, title_or_id))
    if state is None:
        raise UsageProblem(f"The thread {title_or_id!r} has just been deleted.")
    if as_json:
        click.echo(encode_state(state))
        return
    for message in state.messages:
        click.echo(_format_message(message))


def _as_json(row: "Summary") -> dict[str, Any]:
    return {
        "id": row.id,
        "title": row.title,
        "created": row.created.isoformat(),
        "updated": row.updated.isoformat(),
        "messages": row.messages,
        "model": row.model,
    }


def _format_line(row: "Summary") -> str:
    when = row.updated.astimezone().strftime("%Y-%m-%d %H:%M")
    title = safe_line(row.title, 60) or "(empty)"
    return f"{safe_line(row.id, 8):8}  {when}  {row.messages:4}  {title}"


def _format_message(message: "Message") -> str:
    from koel_tui.markdown_closing import close_block
    from koel_tui.storage.interchange.message_headings import author_label

    text = safe_text(message.content)
    # A code block that was cut would contain the next messages if the output is read as Markdown.
    closed = text if message.role == "tool" else close_block(text) or text
    return f"{author_label(message)}:\n{closed}\n"
