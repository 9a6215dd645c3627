"""`koel-chat threads`: the saved threads, outside the window."""

import asyncio
import json
from typing import TYPE_CHECKING

import click

from koel_tui.cli.exits import UsageProblem
from koel_tui.text import safe_line, safe_text

if TYPE_CHECKING:
    from koel_tui.protocol import Message
    from koel_tui.storage import SessionStorage

_SPEAKERS = {"user": "You", "assistant": "Model", "system": "System", "tool": "Tool"}


@click.group()
def threads() -> None:
    """List and show saved threads."""


@threads.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_threads(as_json: bool) -> None:
    """List the saved threads, the one changed last first."""
    from koel_tui.cli.assemble import open_storage

    storage = open_storage()
    for row in asyncio.run(storage.summaries()):
        if as_json:
            fields = {
                "id": row.id,
                "title": row.title,
                "created": row.created.isoformat(),
                "updated": row.updated.isoformat(),
                "messages": row.messages,
                "model": row.model,
            }
            click.echo(json.dumps(fields))
        else:
            when = row.updated.astimezone().strftime("%Y-%m-%d %H:%M")
            title = safe_line(row.title, 60) or "(empty)"
            click.echo(f"{safe_line(row.id, 8):8}  {when}  {row.messages:4}  {title}")
    for damaged in storage.damaged:
        click.echo(safe_line(f"damaged: {damaged.path}: {damaged.reason}", 500), err=True)


@threads.command()
@click.argument("thread")
@click.option("--json", "as_json", is_flag=True, help="Print the state as it is saved.")
def show(thread: str, as_json: bool) -> None:
    """Print a thread; THREAD is its title, its id or the beginning of its id."""
    from koel_tui.cli.assemble import open_storage

    asyncio.run(_show(open_storage(), thread, as_json))


async def _show(storage: "SessionStorage", wanted: str, as_json: bool) -> None:
    from koel_tui.protocol import encode_state

    state = await storage.load(await named_thread(storage, wanted))
    if state is None:
        raise UsageProblem(f"The thread {wanted!r} has just been deleted.")
    if as_json:
        click.echo(encode_state(state))
        return
    for message in state.messages:
        click.echo(_shown(message))


def _shown(message: "Message") -> str:
    mark = " (stopped)" if message.interrupted else ""
    return f"{_SPEAKERS.get(message.role, 'Other')}{mark}:\n{safe_text(message.content)}\n"


async def named_thread(storage: "SessionStorage", wanted: str) -> str:
    """Return the id of the saved thread a user means. Raises `UsageProblem` if there is none."""
    from koel_tui.ui.saved import find_thread, saved_threads

    found = find_thread(await saved_threads(storage), wanted)
    if isinstance(found, str):
        raise UsageProblem(found)
    return found.id
