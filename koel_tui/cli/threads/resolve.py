"""Resolution of a thread by its title, its id or a prefix of its id."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.text import repair

if TYPE_CHECKING:
    from koel_tui.storage import SessionStorage, Summary
    from koel_tui.workspace.saved_threads import SavedThread


async def resolve_thread(storage: "SessionStorage", title_or_id: str) -> str:
    """Return the id of a saved thread. Raises `UsageProblem` unless exactly one matches."""
    from koel_tui.workspace.saved_threads import saved_threads

    return _find_id(await saved_threads(storage), title_or_id)


def resolve_summary(summaries: Sequence["Summary"], title_or_id: str) -> str:
    """Return the id of one of `summaries`. Raises `UsageProblem` unless exactly one matches."""
    from koel_tui.workspace.saved_threads import SavedThread

    threads = [SavedThread(row.id, row.title or row.preview) for row in summaries]
    return _find_id(threads, title_or_id)


def _find_id(threads: Sequence["SavedThread"], title_or_id: str) -> str:
    from koel_tui.workspace.saved_threads import find_thread

    found = find_thread(threads, repair(title_or_id))
    if isinstance(found, str):
        raise UsageProblem(found)
    return found.id
