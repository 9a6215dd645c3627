"""Recovery of unsaved work: written to a recovery file at exit, restored at the next start."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui import paths
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from koel_tui.workspace.unsaved import explain_error, thread_title

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.conversation.conversation import Conversation
    from koel_tui.conversation.placeholders import PastePlaceholders
    from koel_tui.session import ChatSession
    from koel_tui.storage.interchange import Thread
    from koel_tui.storage.recovery_files import UnsavedWork
    from koel_tui.workspace.workspace import Workspace

_WRITE_TIMEOUT = 2.0
"""Seconds allowed for the recovery file, so that a hanging disk does not block the exit."""


@dataclass(slots=True)
class RestoredWork:
    """The work of earlier runs that was restored at the start."""

    titles: list[str] = field(default_factory=list)
    tabs: list[OpenTabs] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    restored_files: list[Path] = field(default_factory=list)
    """The recovery files whose threads are saved now."""

    @property
    def message(self) -> str:
        """The message for the user; empty if nothing was restored."""
        drafts = sum(bool(tab.draft.text) for tabs in self.tabs for tab in tabs.tabs)
        parts = [repr(title or "(empty)") for title in self.titles]
        if drafts:
            parts.append("1 draft" if drafts == 1 else f"{drafts} drafts")
        return f"Restored unsaved work from the last session: {', '.join(parts)}." if parts else ""


async def write_recovery_file(
    backend: "Backend | None",
    unsaved: "Sequence[ChatSession]",
    workspace: "Workspace",
    tabs: OpenTabs | None,
    problem: str,
) -> str:
    """Write unsaved threads and the drafts of `tabs` to a recovery file.

    `unsaved` are disposed sessions that `backend` could not save; `tabs` is None if the tabs are
    persisted, else `problem` may state why not. Return the message for the user, empty if nothing
    is unsaved.
    """
    drafts = [tab for tab in tabs.tabs if tab.draft.text] if tabs is not None else []
    if not unsaved and not drafts:
        return ""
    names = [repr(thread_title(session, workspace)) for session in unsaved]
    if drafts:
        names.append("drafts")
    error = next((session.save_error for session in unsaved if session.save_error), None)
    reason = explain_error(error, backend).reason if error else problem or "It took too long."
    message = f"Not saved: {', '.join(names)}. {reason}".strip()
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT):
            path = await asyncio.to_thread(_write, backend, workspace, unsaved, drafts)
    except TimeoutError:
        return f"{message}\nNo recovery file could be written within {_WRITE_TIMEOUT:.0f} seconds."
    except Exception as failed:
        return f"{message}\n{failed}"
    return (
        f"{message}\nIt is kept in {path} and restored at the next start, or with:\n"
        f"koel-chat threads import {path}"
    )


def _write(
    backend: "Backend | None",
    workspace: "Workspace",
    sessions: "Sequence[ChatSession]",
    drafts: Sequence[OpenTab],
) -> Path:
    import json

    from koel_tui.storage.recovery_files import UnsavedWork
    from koel_tui.storage.recovery_files import write_recovery_file as write

    codec = getattr(backend.storage, "codec", None) if backend is not None else None
    drafts_json = json.loads(OpenTabs(tuple(drafts)).encode()) if drafts else None
    unsaved = UnsavedWork(
        tuple(_to_thread(session, workspace) for session in sessions), drafts_json
    )
    encode: Callable[[bytes], bytes] = codec.encode_recovery if codec is not None else bytes
    return write(unsaved, paths.recovery_dirs(), encode, datetime.now(UTC))


def _to_thread(session: "ChatSession", workspace: "Workspace") -> "Thread":
    from koel_tui.protocol import settle
    from koel_tui.storage.interchange.portable_thread import thread_from_state

    meta = workspace.meta(session.thread_id)
    thread = thread_from_state(session.thread_id, settle(session.state), title=meta.title)
    settings_meta = meta.settings.meta if meta.settings is not None else {}
    set_meta = {key: value for key, value in settings_meta.items() if value is not None}
    return replace(thread, meta={**set_meta, **thread.meta})


async def restore(backend: "Backend") -> RestoredWork:
    """Restore the recovery files; no tab may have a session yet. A file that fails stays."""
    restored = RestoredWork()
    for path in await asyncio.to_thread(_find_files):
        try:
            await _restore_file(backend, path, restored)
        except Exception as error:
            restored.problems.append(f"The recovery file {path} cannot be restored: {error}")
    return restored


def _find_files() -> list[Path]:
    directories = [directory for directory in paths.recovery_dirs() if directory.is_dir()]
    if not directories:
        return []
    from koel_tui.storage.recovery_files import find_recovery_files

    return find_recovery_files(directories)


async def _restore_file(backend: "Backend", path: Path, restored: RestoredWork) -> None:
    from koel_tui.storage import recovery_files

    codec = getattr(backend.storage, "codec", None)
    unsaved = await asyncio.to_thread(recovery_files.read_recovery_file, path, codec)
    tabs = parse_tabs(unsaved)
    for thread in unsaved.threads:
        stored = await recovery_files.restore_thread(backend.storage, thread)
        if stored.is_new:
            restored.titles.append(stored.title)
    restored.tabs.append(tabs)
    restored.restored_files.append(path)


def parse_tabs(unsaved: "UnsavedWork") -> OpenTabs:
    """Return the tabs of a recovery file. Raises `ValueError` if they are invalid."""
    if unsaved.tabs is None:
        return OpenTabs()
    import json

    from koel_tui.workspace.open_tabs import decode

    return decode(json.dumps(unsaved.tabs).encode())


def drafts_as_threads(unsaved: "UnsavedWork") -> "list[Thread]":
    """Return the drafts as threads, for use without a prompt. Raises `ValueError` if invalid."""
    from koel_tui.conversation.placeholders import PastePlaceholders
    from koel_tui.protocol import ChatState, Message
    from koel_tui.storage.interchange import Thread

    pastes = PastePlaceholders()
    threads = []
    for tab in parse_tabs(unsaved).tabs:
        text = pastes.expand(pastes.import_draft(tab.draft))
        if text:
            # The id is derived from the text, so repeated imports create only one thread.
            draft_id = str(uuid.uuid5(uuid.NAMESPACE_OID, repr(text)))
            messages = (Message(draft_id, "user", text),)
            threads.append(Thread(draft_id, ChatState(messages=messages)))
    return threads


def place_drafts(
    restored: RestoredWork,
    workspace: "Workspace",
    pastes: "PastePlaceholders",
    return_text: "Callable[[Conversation, str], None]",
) -> None:
    """Restore the drafts into the tabs of their threads, or into new tabs."""
    active = workspace.active
    for tab in (tab for tabs in restored.tabs for tab in tabs.tabs if tab.draft.text):
        text = pastes.import_draft(tab.draft)
        target = next((each for each in workspace.tabs if each.thread_id == tab.thread_id), None)
        if tab.thread_id is None or target is None:
            workspace.new()
            target = workspace.active
        if text not in target.draft:
            return_text(target, text)
    workspace.tabs.activate(active)


def remove_files(restored: RestoredWork) -> None:
    """Remove the recovery files whose content is restored."""
    for path in restored.restored_files:
        path.unlink(missing_ok=True)
