"""The command `koel-chat threads search`, a full-text search in all threads."""

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.storage.search.thread_index import Hit, ThreadIndex


@click.command()
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    help="Print at most this many hits (default: 20).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def search(words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Search titles and messages, the best hits first.

    A hit has all of WORDS. Three letters are enough for the beginning, the middle or the end of
    a word. Symbols and emoji are found too. The output is the thread and an excerpt with the
    words.

    \b
    Examples:
      koel-chat threads search harbour storm
      koel-chat threads search harb --limit 3 --json
    """
    from koel_tui.cli.wiring import open_index, open_storage
    from koel_tui.storage.search.indexed_text import MAX_QUERY_LENGTH

    query = " ".join(words)
    if len(query) > MAX_QUERY_LENGTH:
        raise UsageProblem(
            f"The search text is too long. Use at most {MAX_QUERY_LENGTH:,} characters."
        )
    hits = asyncio.run(_search(open_index(open_storage()), query, limit))
    for hit in hits:
        click.echo(json.dumps(_as_json(hit)) if as_json else _format_hit(hit))
    if not hits:
        print_notice("Nothing was found.")


async def _search(index: "ThreadIndex", query: str, limit: int) -> "list[Hit]":
    try:
        progress = _print_progress if sys.stderr.isatty() else None
        return await index.search(query, limit, progress)
    finally:
        await index.close()
        if index.problem:
            print_notice(safe_line(f"koel-chat: {index.problem}", 2000))


def _print_progress(done: int, total: int) -> None:
    """Show the progress on one line, which is erased at the end."""
    line = "" if done == total else f"Indexing threads: {done} of {total}"
    print_notice(f"\r\x1b[K{line}", newline=False)


def _as_json(hit: "Hit") -> dict[str, Any]:
    return {
        "thread": hit.thread_id,
        "title": hit.title,
        "message": hit.message_id,
        "role": hit.role,
        "snippet": hit.snippet,
        "spans": hit.spans,
        "updated": hit.updated.isoformat(),
    }


def _format_hit(hit: "Hit") -> str:
    when = hit.updated.astimezone().strftime("%Y-%m-%d %H:%M")
    title = safe_line(hit.title, 60) or "(empty)"
    return f"{safe_line(hit.thread_id, 8):8}  {when}  {title}\n    {_highlight(hit)}"


def _highlight(hit: "Hit") -> str:
    """Return the excerpt on one line, with the matches in bold."""
    line, previous_end = "", 0
    for start, end in hit.spans:
        line += _safe_part(hit.snippet[previous_end:start])
        line += click.style(_safe_part(hit.snippet[start:end]), bold=True)
        previous_end = end
    return line + _safe_part(hit.snippet[previous_end:])


def _safe_part(text: str) -> str:
    """Return a sanitized part of a line, with the spaces at its ends kept.

    `safe_line` strips spaces at the ends, so they are enclosed. The limit is high enough for a
    text in which control characters were replaced by their names.
    """
    return safe_line(f"[{text}]", len(text) * 8 + 8)[1:-1]
