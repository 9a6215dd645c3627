"""A prompt that files can be attached to: with @ and some letters of their path, or dropped."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from textual import events, on
from textual.widgets import TextArea
from textual.widgets.text_area import Location

from koel_tui.conversation.drafts import Draft
from koel_tui.text import safe_line
from koel_tui.ui.composer.attachments import (
    AttachmentError,
    Gauge,
    attachment_of,
    dropped_files,
    may_be_dropped,
)
from koel_tui.ui.composer.file_list import MOST_SHOWN, FilePicker
from koel_tui.ui.composer.file_search import FoundFile, matching, text_files
from koel_tui.ui.composer.prompt import Prompt

_ABOVE = 4
"""Rows above the prompt that are not lines of the list: its frame, and the tabs."""
_HERE = Path()
_PATIENCE = 1.5
"""Seconds a key waits for the files: longer than a walk takes, unless the disk does not answer."""
_PICKS = "enter attaches · esc leaves"


@dataclass(slots=True)
class _Search:
    """A path being typed after an @: where that is, and which files there are."""

    at: Location
    files: "asyncio.Task[list[FoundFile]]"
    typed: str = ""
    shown: Sequence[str] = ()
    chosen: int = 0


@dataclass(frozen=True, slots=True)
class _Dropped:
    """Paths that were pasted: where they stand in which text, and the files they name."""

    text: str
    start: Location
    end: Location
    files: tuple[Path, ...]


class FilePrompt(Prompt):
    """Offers files while their path is typed or was pasted; a file taken stands as a token.

    What the keys mean follows from the text as it is when each of them is handled, so that one
    who types faster than anything is painted takes what was meant.
    """

    def __init__(
        self, send: Callable[[str], None], remember: Callable[[Draft], None], gauge: Gauge
    ) -> None:
        """Make the prompt; `gauge` measures files."""
        super().__init__(send, remember)
        self._gauge = gauge
        self.picker = FilePicker()
        """Shows which files there are; its place is not within the prompt."""
        self._search: _Search | None = None
        self._dropped: _Dropped | None = None

    async def on_key(self, event: events.Key) -> None:
        """Let the files have the keys that are theirs while some are offered."""
        if await self._meant_for_files(event.key):
            event.stop()
            event.prevent_default()

    def action_attach(self) -> None:
        """Type an @, which offers files where a word begins with it."""
        begins = self._begins_word()
        start = min(self.selection)
        self._type("@")
        if begins:
            self._begin_search(start)

    async def on_paste(self, event: events.Paste) -> None:
        """Offer to attach files whose paths are pasted, which is what dropping them does."""
        self._leave()
        if not may_be_dropped(event.text):
            return
        files = await asyncio.to_thread(dropped_files, event.text)
        if files:
            event.prevent_default()
            event.stop()
            start = min(self.selection)
            self._type(event.text)
            self._dropped = _Dropped(self.text, start, self.cursor_location, files)
            self._show()

    def show(self, text: str) -> None:
        """Begin anew with `text`; nothing is offered any more."""
        self._leave()
        super().show(text)

    def on_unmount(self) -> None:
        """End what looks for files."""
        self._leave()

    @on(TextArea.Changed)
    @on(TextArea.SelectionChanged)
    def _show(self) -> None:
        """Bring the list in line with the text."""
        if self._dropped is not None and self._dropped.text == self.text:
            names = [file.name for file in self._dropped.files]
            hint = "enter attaches · esc leaves the path as text"
            self.picker.show(names[: self._room], None, hint)
        elif (search := self._current_search()) is None:
            self._leave()
        elif not search.files.done():
            self.picker.show([], None, "Looking for files…")
        elif search.shown:
            self.picker.show(search.shown, search.chosen, _PICKS)
        else:
            self.picker.hide()

    @property
    def _room(self) -> int:
        """How many files can be shown above the prompt."""
        return max(1, min(MOST_SHOWN, self.region.y - _ABOVE))

    def _begins_word(self) -> bool:
        row, column = min(self.selection)
        before = self.document.get_line(row)[:column]
        return not before or before[-1].isspace() or before[-1] in "(\"'"

    def _begin_search(self, at: Location) -> None:
        self._leave()
        walk = asyncio.create_task(asyncio.to_thread(text_files, _HERE))
        walk.add_done_callback(lambda _: self.call_later(self._show))
        self._search = _Search(at, walk)

    def _current_search(self) -> _Search | None:
        """Return the search as the text has it now; None when the cursor is not in its word."""
        search = self._search
        if search is None:
            return None
        (row, column), (at_row, at) = self.cursor_location, search.at
        word = self.document.get_line(row)[at:column]
        if row != at_row or not word.startswith("@") or any(map(str.isspace, word)):
            return None
        if search.files.done() and (not search.shown or word != search.typed):
            search.typed, search.chosen = word, 0
            search.shown = matching(search.files.result(), word[1:], self._room)
        return search

    async def _meant_for_files(self, key: str) -> bool:
        """Do what a key does to the files that are offered; say whether it does anything."""
        if self._dropped is not None:
            return await self._drop(key)
        if self._search is None:
            return False
        search = self._current_search()
        if search is None:
            self._leave()
            return False
        if key not in ("enter", "tab", "up", "down", "escape"):
            return False
        if key != "escape":
            await asyncio.wait([search.files], timeout=_PATIENCE)
            if self._current_search() is not search:
                return True  # whatever came between, the key was not meant for it
            if not search.files.done():
                self._leave()
                self.notify(
                    "Looking for files takes too long here. Drop one instead.", markup=False
                )
                return True
        if search.files.done() and not search.shown:
            self._leave()
            return False
        match key:
            case "up" | "down":
                step = 1 if key == "down" else -1
                search.chosen = (search.chosen + step) % len(search.shown)
                self._show()
            case "escape":
                self._leave()
            case _:
                path = search.shown[search.chosen]
                await self._put([(_HERE / path, path)], search.at, self.cursor_location)
        return True

    async def _drop(self, key: str) -> bool:
        dropped, self._dropped = self._dropped, None
        self.picker.hide()
        if dropped is None or dropped.text != self.text:
            return False
        if key not in ("enter", "tab", "escape"):
            return False
        if key != "escape":
            files = [(file, file.name) for file in dropped.files]
            await self._put(files, dropped.start, dropped.end)
        return True

    async def _put(self, files: Sequence[tuple[Path, str]], start: Location, end: Location) -> None:
        """Put tokens of files in the place of their paths, of all or, with a word why, of none."""
        self._leave()
        before = self.text
        try:
            read = [await attachment_of(path, name, self._gauge) for path, name in files]
        except AttachmentError as error:
            self.notify(safe_line(str(error), 400), severity="error", markup=False)
            return
        if self.text != before:
            self.notify("The prompt has changed meanwhile: attach again.", markup=False)
            return
        tokens = [self.pastes.attach(each.label, each.framed) for each in read]
        self.replace(" ".join(tokens) + " ", start, end, maintain_selection_offset=False)

    def _leave(self) -> None:
        """Offer nothing any more."""
        search, self._search, self._dropped = self._search, None, None
        if search is not None:
            search.files.cancel()
        self.picker.hide()
