"""The transcript: mounts a range of the messages of a thread of any length."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message

from koel_tui.conversation.entries import Entry, content_version
from koel_tui.ui import internals
from koel_tui.ui.transcript import notice_rows
from koel_tui.ui.transcript.entry_view import View, create_view, is_visible
from koel_tui.ui.transcript.large_answer import LargeAnswer
from koel_tui.ui.transcript.message_view import MessageView
from koel_tui.ui.transcript.mount_window import (
    MAX_MESSAGES,
    TAIL_MESSAGES,
    TAIL_WIDGETS,
    WIDGET_BUDGET,
    extend_range,
    index_of,
    range_around,
    tail_start,
)
from koel_tui.ui.transcript.scroll_position import ScrollPosition, ScrollTarget, TranscriptSource
from koel_tui.ui.widgets.blank_lines import BlankLines
from koel_tui.ui.widgets.no_restyle import NoRestyle
from koel_tui.ui.widgets.throttle import throttle_repaints

FLUSH_INTERVAL = 0.05
"""Minimum seconds between two repaints."""
AWAY_INTERVAL = 0.25
"""Minimum seconds between two repaints while the end is out of view."""


class Transcript(internals.SingleLayout, NoRestyle, BlankLines, VerticalScroll, can_focus=False):
    """Shows one thread. Changes to the mounted range run on this widget's own message queue."""

    class Unseen(Message):
        """New text arrived below the visible part, or the user has now seen it."""

        def __init__(self, transcript: "Transcript", unseen: bool) -> None:
            super().__init__()
            self.transcript = transcript
            self.unseen = unseen

    def __init__(
        self,
        source: TranscriptSource,
        position: ScrollPosition | ScrollTarget | None = None,
        interval: float = FLUSH_INTERVAL,
    ) -> None:
        """Repaint at most once every `interval` seconds."""
        super().__init__(id="transcript")
        self._source = source
        self._saved_position = position if isinstance(position, ScrollPosition) else None
        self._target_id = position.entry_id if isinstance(position, ScrollTarget) else ""
        self._newest = self._seen = self._saved_position.seen if self._saved_position else ""
        self._unseen = False
        self._above = notice_rows.NoticeRows("above")
        self._below = notice_rows.NoticeRows("below")
        self._views: list[View] = []
        self._start = self._end = self._total = 0
        self._interval = interval
        self._throttle = throttle_repaints(self, self._repaint, interval)

    def compose(self) -> ComposeResult:
        """Yield the notices above and below the messages."""
        yield self._above
        yield self._below

    async def on_mount(self) -> None:
        """Show the saved scroll position, or else the end of the thread."""
        self.watch(self, "scroll_y", self._on_scroll, init=False)
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _: self._update_unseen())
        self.anchor()
        entries = self._source.entries()
        target = index_of(entries, self._target_id) if self._target_id else None
        if self._saved_position is not None and self._saved_position.end > len(entries):
            self._saved_position = None
        if target is not None:
            self.release_anchor()
            await self._rebuild(entries, *range_around(entries, target))
        elif self._saved_position is not None:
            self.release_anchor()
            await self._rebuild(entries, self._saved_position.start, self._saved_position.end)
        else:
            await self._show_tail(entries)

    def restore_scroll_position(self) -> None:
        """Scroll to the saved position; call this after mounting, before the first paint."""
        internals.layout_now(self)
        if self._target_id and self._views:
            self._scroll_to_target()
        elif self._saved_position is not None:
            self.scroll_to(y=self._saved_position.scroll_y, animate=False, immediate=True)
        self._update_unseen()

    @property
    def is_tail_mounted(self) -> bool:
        """True if the newest message is mounted."""
        return self._end == self._total

    @property
    def is_at_end(self) -> bool:
        """True if the end is visible or followed."""
        return self.is_tail_mounted and (self.is_vertical_scroll_end or internals.follows_end(self))

    def scroll_position(self) -> ScrollPosition | ScrollTarget | None:
        """Return the scroll position; None at the end, where new text is followed."""
        if self._target_id:
            return ScrollTarget(self._target_id)
        # The caller is outside this widget's queue, so a change may be half done.
        if self.is_at_end or internals.follows_end(self) or not self._views:
            return None
        return ScrollPosition(
            self._start, self._start + len(self._views), self.scroll_y, self._seen
        )

    def visible_entries(self) -> Sequence[Entry]:
        """Return the entries down to the last visible one, oldest first."""
        bottom = self.scroll_y + self.size.height
        shown = sum(view.virtual_region.y < bottom for view in self._views)
        return self._source.entries()[: self._start + shown]

    def request_repaint(self) -> None:
        """Schedule a repaint after a change; repaints are throttled."""
        self._throttle.request()

    def go_to_end(self) -> None:
        """Show the newest message and follow new text."""
        self.call_later(self._go_to_end)

    def go_to(self, entry_id: str) -> None:
        """Scroll to a message, once it is loaded; an unknown id changes nothing."""
        self.call_later(self._go_to, entry_id)

    def step_message(self, direction: int) -> None:
        """Go to the user message above (-1) or below (1) the scroll position."""
        self.call_later(self._step_message, direction)

    def go_to_start(self) -> None:
        """Show the first message."""
        self.call_later(self._go_to_start)

    def toggle_rendering(self) -> bool:
        """Toggle the newest large answer's Markdown rendering; return False if there is none."""
        for view in reversed(self._views):
            for answer in view.query_children(LargeAnswer):
                answer.toggle()
                return True
        return False

    def scroll_lines(self, lines: int) -> None:
        """Scroll by `lines`, down if positive; at an end of the mounted range, load more."""
        if not self._load_at_end(lines):
            self.scroll_relative(y=lines, animate=False, immediate=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Load earlier messages when the wheel scrolls up at the top."""
        if self._load_at_end(-1):
            event.prevent_default()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Load later messages when the wheel scrolls down at the bottom."""
        if self._load_at_end(1):
            event.prevent_default()

    def _load_at_end(self, direction: int) -> bool:
        """Return whether an end is reached in this direction; if so, load more messages.

        The event must not reach Textual, because a scroll without movement stops following the end.
        """
        is_at_limit = self.scroll_y <= 0 if direction < 0 else self.scroll_y >= self.max_scroll_y
        if is_at_limit:
            self._load_beyond(direction)
        return is_at_limit

    def _update_unseen(self) -> None:
        """Update whether there is unseen text below, and post `Unseen` if that changed."""
        if at_end := self.is_at_end:
            self._seen = self._newest
        self._throttle.interval = self._interval if at_end else max(self._interval, AWAY_INTERVAL)
        unseen = self._seen != self._newest
        if unseen != self._unseen:
            self._unseen = unseen
            self.post_message(self.Unseen(self, unseen))

    def _on_scroll(self, before: float, now: float) -> None:
        self._update_unseen()
        if now <= 0 < before:
            self._load_beyond(-1)
        elif now >= self.max_scroll_y > before:
            self._load_beyond(1)

    def _load_beyond(self, direction: int) -> None:
        if direction < 0 and self._start > 0:
            self.call_later(self._load_earlier)
        elif direction > 0 and not self.is_tail_mounted:
            self.call_later(self._load_later)

    async def _repaint(self) -> None:
        """Update the mounted messages to the thread, in one layout pass."""
        with self.app.batch_update():
            await self._reconcile(self._source.entries())
            internals.share_layout(self)
        self._update_unseen()

    async def _reconcile(self, entries: Sequence[Entry]) -> None:
        follow = self.is_tail_mounted
        kept = 0
        for view, entry in zip(self._views, entries[self._start :], strict=False):
            if view.entry.id != entry.id:
                break
            await view.show(entry)
            kept += 1
        if kept == 0 and self._views:
            await self._show_tail(entries)
            return
        if not self._views:
            self._start = tail_start(entries)
        await self._drop(self._views[kept:])
        self._end = self._start + kept
        self._total = len(entries)
        if follow:
            await self._mount_down_to(entries, len(entries))
            if self.is_vertical_scroll_end:
                await self._trim(at_top=True, messages=TAIL_MESSAGES, widgets=TAIL_WIDGETS)
        self._update_notices()
        self._newest = content_version(entries)
        if self._target_id and entries:
            await self._go_to(self._target_id)

    async def _show_tail(self, entries: Sequence[Entry]) -> None:
        await self._rebuild(entries, tail_start(entries), len(entries))

    async def _rebuild(self, entries: Sequence[Entry], start: int, end: int) -> None:
        with self.app.batch_update():
            await self._drop(self._views)
            self._start = self._end = start
            self._total = len(entries)
            await self._mount_down_to(entries, end)
            self._newest = content_version(entries)
            self._update_notices()

    async def _go_to_end(self) -> None:
        if not self.is_tail_mounted:
            await self._show_tail(self._source.entries())
        self.anchor()
        self._update_unseen()

    async def _go_to(self, entry_id: str) -> None:
        entries = self._source.entries()
        index = index_of(entries, entry_id)
        self._target_id = entry_id if index is not None or not entries else ""
        if index is None:
            return
        with self.app.batch_update():
            self.release_anchor()
            if not self._is_mounted_with_context(entries[index]):
                await self._rebuild(entries, *range_around(entries, index))
            internals.layout_now(self)  # new widgets may not be laid out yet
            self._scroll_to_target()

    def _is_mounted_with_context(self, entry: Entry) -> bool:
        """Return whether a message is mounted with enough messages above it to scroll to it."""
        for view in self._views:
            if view.entry.id == entry.id:
                return self._start == 0 or self._target_y(view) > 0
        return False

    def _target_y(self, view: View) -> int:
        """Return the scroll offset that puts a message's first line at a third of the height."""
        return min(view.virtual_region.y - self.size.height // 3, self.max_scroll_y)

    def _scroll_to_target(self) -> None:
        target, self._target_id = self._target_id, ""
        index = index_of([view.entry for view in self._views], target)
        if index is not None:
            y = max(0, self._target_y(self._views[index]))
            self.scroll_to(y=y, animate=False, immediate=True)

    async def _step_message(self, direction: int) -> None:
        entries = self._source.entries()
        beyond = range(self._start - 1, -1, -1) if direction < 0 else range(self._end, len(entries))
        users = [view for view in self._views if view.entry.role == "user"]
        ahead = [view for view in users if (self._target_y(view) - self.scroll_y) * direction > 0]
        if ahead:
            await self._go_to(ahead[-1 if direction < 0 else 0].entry.id)
            return
        found = next((entries[index].id for index in beyond if entries[index].role == "user"), "")
        if found:
            await self._go_to(found)
        elif direction < 0:
            await self._go_to_start()
        else:
            await self._go_to_end()

    async def _go_to_start(self) -> None:
        entries = self._source.entries()
        with self.app.batch_update():
            if self._start > 0:
                end = extend_range(entries, 0, 1, TAIL_MESSAGES, WIDGET_BUDGET)
                await self._rebuild(entries, 0, end)
            internals.layout_now(self)  # new widgets may not be laid out yet
            if self.max_scroll_y > 0:  # if everything is visible, keep following the end
                self.release_anchor()
                self.scroll_to(y=0, animate=False, immediate=True)

    async def _load_earlier(self) -> None:
        entries = self._source.entries()
        start = extend_range(entries, self._start, -1)
        if start == self._start or not self._views:
            return
        views = [create_view(entry) for entry in entries[start : self._start]]
        async with self._keep_in_place(self._views[0]) as follows:
            await self.mount_all(views, before=self._views[0])
            self._views[:0] = views
            self._start = start
            if follows:  # keep the end mounted, even if it is out of view now
                await self._simplify_old()
            else:
                await self._trim(at_top=False)

    async def _load_later(self) -> None:
        entries = self._source.entries()
        if self._end >= len(entries) or not self._views:
            return
        async with self._keep_in_place(self._views[-1]):
            self._total = len(entries)
            await self._mount_down_to(entries, extend_range(entries, self._end, 1))
            await self._trim(at_top=True)

    @asynccontextmanager
    async def _keep_in_place(self, view: View) -> AsyncIterator[bool]:
        """Keep `view` at its place on the screen while the mounted range changes.

        Yields whether the end is kept in view instead, because it is followed.
        """
        offset = view.virtual_region.y - self.scroll_y
        follows = internals.follows_end(self) and self.is_tail_mounted
        self.release_anchor()  # otherwise the end would be followed while messages load
        with self.app.batch_update():
            yield follows
            self._update_notices()
            internals.layout_now(self)
            if follows:
                self.anchor()
            else:
                self.scroll_to(y=view.virtual_region.y - offset, animate=False, immediate=True)

    async def _mount_down_to(self, entries: Sequence[Entry], end: int) -> None:
        views = [create_view(entry) for entry in entries[self._end : end]]
        await self.mount_all(views, before=self._below)
        self._views += views
        self._end += len(views)

    async def _trim(
        self, at_top: bool, messages: int = MAX_MESSAGES, widgets: int = WIDGET_BUDGET
    ) -> None:
        """Unmount invisible messages at one end until the rest is within the limits."""
        views = self._views if at_top else self._views[::-1]
        count, cost = len(views), sum(view.cost for view in views)
        drop: list[View] = []
        visible = range(int(self.scroll_y), int(self.scroll_y) + self.size.height)
        for view in views[:-1]:
            if (count <= messages and cost <= widgets) or is_visible(view, visible):
                break
            drop.append(view)
            count -= 1
            cost -= view.cost
        if at_top:
            self._start += len(drop)
        else:
            self._end -= len(drop)
        await self._drop(drop)
        await self._simplify_old()

    async def _simplify_old(self) -> None:
        """Show the oldest answers in fewer widgets while the visible ones exceed the budget."""
        for view in self._views:
            if sum(each.cost for each in self._views) <= WIDGET_BUDGET:
                return
            if isinstance(view, MessageView):
                await view.simplify()

    async def _drop(self, views: Sequence[View]) -> None:
        if views:
            gone = set(views)
            self._views = [view for view in self._views if view not in gone]
            await self.remove_children(gone)

    def _update_notices(self) -> None:
        self._above.show(notice_rows.more_above(self._start))
        self._below.show([*notice_rows.more_below(self._total - self._end), *self._source.rows()])
