"""Shell completion of saved threads."""

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import click

from koel_tui.text import normalize, safe_line

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from koel_tui.storage import Summary

Items = list["CompletionItem[str]"]
_MAX_THREADS = 200
"""Maximum threads read, most recently changed first, to keep completion fast."""
_MAX_TITLE_CHARACTERS = 100
_UNSUPPORTED = frozenset(',\\"`$!')
"""Characters that the completion script of at least one shell does not handle."""


def complete_thread(context: click.Context, argument: click.Parameter, prefix: str) -> Items:
    """Return the saved threads whose title or id starts with `prefix`."""
    return _complete(prefix, trash=False)


def complete_trashed_thread(
    context: click.Context, argument: click.Parameter, prefix: str
) -> Items:
    """Return the threads in the trash whose title or id starts with `prefix`."""
    return _complete(prefix, trash=True)


def _complete(prefix: str, *, trash: bool) -> Items:
    from click.shell_completion import CompletionItem

    try:
        rows = _summaries(trash=trash)
    except Exception:
        return []  # an error message would disturb the command line
    titles = Counter(row.title or row.preview for row in rows)
    items: Items = []
    for row in rows:
        title = row.title or row.preview
        # Offer the id if the title is ambiguous or cannot be typed.
        name = title if titles[title] == 1 and _is_typeable(title) else row.id
        for value in dict.fromkeys((name, row.id) if prefix else (name,)):
            if normalize(value).startswith(normalize(prefix)) and _is_typeable(value):
                items.append(CompletionItem(value, help=safe_line(title, 60) or None))
                break
    return items


def _is_typeable(name: str) -> bool:
    plain = (
        name.isprintable()
        and safe_line(name, _MAX_TITLE_CHARACTERS) == name
        and not _UNSUPPORTED & {*name}
    )
    return plain and bool(name) and not name.startswith("-")


def _summaries(*, trash: bool) -> "list[Summary]":
    from koel_tui import paths
    from koel_tui.cli.early_settings import is_encrypted

    directory = paths.threads_dir()
    if not directory.is_dir() or is_encrypted():
        return []  # completion must not create directories or prompt for a passphrase
    from koel_tui.storage.files.read_only_listing import list_read_only
    from koel_tui.storage.thread_record import newest_first

    if trash:
        return list(list_read_only(directory, "trash"))
    return newest_first(islice(list_read_only(directory), _MAX_THREADS))
