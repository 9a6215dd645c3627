"""A prompt with file attachments: @ with letters of the path, or files dropped on the terminal."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import events, on
from textual.widgets import TextArea
from textual.widgets.text_area import Location

from koel_tui.conversation.drafts import Draft
from koel_tui.ui.composer.attachments import (
    AttachmentError,
    TokenCounter,
    dropped_files,
    load_attachment,
    may_be_dropped,
)
from koel_tui.ui.composer.file_list import MAX_SHOWN, FileList
from koel_tui.ui.composer.file_search import (
    FoundFile,
    begins_with,
    fuzzy_filter,
    text_files,
)
from koel_tui.ui.composer.prompt import Prompt

_RESERVED_ROWS = 4
"""Rows above the prompt that the list cannot use: its border, and the tab bar."""
_ROOT = Path()
_SEARCH_TIMEOUT = 1.5
"""Maximum seconds for which a key waits for the file search, longer than a normal search takes."""
_ENTER_HINT = "enter attaches · esc closes"
_TAB_HINT = "tab attaches · enter sends · esc closes"


@dataclass(slots=True)
class _Search:
    """A file search for the word after an @: its location, the files and the choice.

    `is_picked` is true after the user has moved to the chosen file with an arrow key.
    """

    at: Location
    files: "asyncio.Task[list[FoundFile]]"
    typed: str = ""
    shown: Sequence[str] = ()
    chosen: int = 0
    is_picked: bool = False

    @property
    def takes_enter(self) -> bool:
        """True if enter attaches the chosen file.

        A word after an @ is often no file: a decorator, a user, a media query. Enter sends it,
        unless the user has picked a file, or has typed the beginning of its path or name.
        """
        return self.is_picked or begins_with(self.shown[self.chosen], self.typed[1:])


@dataclass(frozen=True, slots=True)
class _Dropped:
    """Pasted file paths: the text and range that contains them, and the files."""

    text: str
    start: Location
    end: Location
    files: tuple[Path, ...]


class FilePrompt(Prompt):
    """Offers files while a path is typed or after a paste; an attached file is a placeholder.

    Each key is interpreted against the text at the time it is handled, so that fast typing selects
    the intended file even before the list is painted.
    """

    def __init__(
        self,
        send: Callable[[str], None],
        append_history: Callable[[Draft], None],
        counter: TokenCounter,
    ) -> None:
        """`counter` counts the tokens of files."""
        super().__init__(send, append_history)
        self._counter = counter
        self.file_list = FileList()
        """The list of files; it is mounted outside the prompt."""
        self._search: _Search | None = None
        self._dropped: _Dropped | None = None

    async def on_key(self, event: events.Key) -> None:
        """Handle the keys of the file list while it is open."""
        if await self._handle_list_key(event.key):
            event.stop()
            event.prevent_default()

    def action_attach(self) -> None:
        """Insert an @; at the start of a word it opens the file list."""
        begins = self._begins_word()
        start = min(self.selection)
        self._insert_at_cursor("@")
        if begins:
            self._start_search(start)

    async def on_paste(self, event: events.Paste) -> None:
        """Offer to attach files whose paths are pasted; dropping files does the same."""
        self._close_list()
        if not may_be_dropped(event.text):
            return
        files = await asyncio.to_thread(dropped_files, event.text)
        if files:
            event.prevent_default()
            event.stop()
            start = min(self.selection)
            self._insert_at_cursor(event.text)
            self._dropped = _Dropped(self.text, start, self.cursor_location, files)
            self._update_list()

    def show(self, text: str) -> None:
        """Load `text` with a new undo history, and close the file list."""
        self._close_list()
        super().show(text)

    def on_unmount(self) -> None:
        """Cancel the file search."""
        self._close_list()

    @on(TextArea.Changed)
    @on(TextArea.SelectionChanged)
    def _update_list(self) -> None:
        """Update the file list to the text."""
        if self._dropped is not None and self._dropped.text == self.text:
            names = [file.name for file in self._dropped.files]
            hint = "enter attaches · esc keeps the path as text"
            self.file_list.show(names[: self._max_rows], None, hint)
        elif (search := self._current_search()) is None:
            self._close_list()
        elif not search.files.done():
            self.file_list.show([], None, "Looking for files…")
        elif search.shown:
            hint = _ENTER_HINT if search.takes_enter else _TAB_HINT
            self.file_list.show(search.shown, search.chosen, hint)
        else:
            self.file_list.hide()

    @property
    def _max_rows(self) -> int:
        """Maximum number of files that fit above the prompt."""
        return max(1, min(MAX_SHOWN, self.region.y - _RESERVED_ROWS))

    def _begins_word(self) -> bool:
        row, column = min(self.selection)
        before = self.document.get_line(row)[:column]
        return not before or before[-1].isspace() or before[-1] in "(\"'"

    def _start_search(self, at: Location) -> None:
        self._close_list()
        task = asyncio.create_task(asyncio.to_thread(text_files, _ROOT))
        task.add_done_callback(lambda _: self.call_later(self._update_list))
        self._search = _Search(at, task)

    def _current_search(self) -> _Search | None:
        """Return the search for the current text; None if the cursor has left its word."""
        search = self._search
        if search is None:
            return None
        (row, column), (at_row, at) = self.cursor_location, search.at
        word = self.document.get_line(row)[at:column]
        if row != at_row or not word.startswith("@") or any(map(str.isspace, word)):
            return None
        if search.files.done() and (not search.shown or word != search.typed):
            search.typed, search.chosen, search.is_picked = word, 0, False
            search.shown = fuzzy_filter(search.files.result(), word[1:], self._max_rows)
        return search

    async def _handle_list_key(self, key: str) -> bool:
        """Handle a key for the file list; return whether it was used."""
        if self._dropped is not None:
            return await self._handle_drop_key(key)
        if self._search is None:
            return False
        search = self._current_search()
        if search is None:
            self._close_list()
            return False
        if key not in ("enter", "tab", "up", "down", "escape"):
            return False
        if key != "escape":
            await asyncio.wait([search.files], timeout=_SEARCH_TIMEOUT)
            if self._current_search() is not search:
                return True  # the text changed while waiting, so drop the key
            if not search.files.done():
                self._close_list()
                self.notify(
                    "The file search takes too long in this directory. Press enter again to send "
                    "the text as it is, or drop the file on the terminal."
                )
                return True
        if search.files.done() and not search.shown:
            self._close_list()
            return False
        if key == "enter" and not search.takes_enter:
            self._close_list()
            return False
        match key:
            case "up" | "down":
                search.is_picked = True
                step = 1 if key == "down" else -1
                search.chosen = (search.chosen + step) % len(search.shown)
                self._update_list()
            case "escape":
                self._close_list()
            case _:
                path = search.shown[search.chosen]
                await self._insert_files([(_ROOT / path, path)], search.at, self.cursor_location)
        return True

    async def _handle_drop_key(self, key: str) -> bool:
        dropped, self._dropped = self._dropped, None
        self.file_list.hide()
        if dropped is None or dropped.text != self.text:
            return False
        if key not in ("enter", "tab", "escape"):
            return False
        if key != "escape":
            files = [(file, file.name) for file in dropped.files]
            await self._insert_files(files, dropped.start, dropped.end)
        return True

    async def _insert_files(
        self, files: Sequence[tuple[Path, str]], start: Location, end: Location
    ) -> None:
        """Replace a range by file placeholders; if one file fails, show why and attach none."""
        self._close_list()
        before = self.text
        try:
            read = [await load_attachment(path, name, self._counter) for path, name in files]
        except AttachmentError as error:
            self.notify(str(error), severity="error")
            return
        if self.text != before:
            self.notify("The prompt changed in the meantime. Attach the file again.")
            return
        tokens = [self.pastes.attach(each.label, each.prompt_text) for each in read]
        self.replace(" ".join(tokens) + " ", start, end, maintain_selection_offset=False)

    def _close_list(self) -> None:
        """Cancel the search and close the file list."""
        search, self._search, self._dropped = self._search, None, None
        if search is not None:
            search.files.cancel()
        self.file_list.hide()
