"""The transcript: a window onto the messages of one thread, however many there are."""

from collections.abc import Callable, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from koel_tui.text import safe_text
from koel_tui.ui.entries import Entry, Place, Row, Source
from koel_tui.ui.message import MessageView, cost_of
from koel_tui.ui.throttle import Throttle

TAIL = 20
"""Messages shown first."""
STEP = 10
"""Messages loaded at once when the user reaches an end of what is shown."""
MAX_MESSAGES = 40
MAX_WIDGETS = 150
FLUSH_INTERVAL = 0.05

_ROW_STYLES = {"error": "$text-error", "welcome": "$foreground"}


def reach(entries: Sequence[Entry], position: int, direction: int, limit: int) -> int:
    """Return how far from `position` a window reaches, up (-1) or down (1).

    It takes in at most `limit` messages and about `MAX_WIDGETS` widgets, but always one message.
    """
    taken = cost = 0
    while taken < limit:
        index = position - 1 if direction < 0 else position
        if not 0 <= index < len(entries):
            break
        cost += cost_of(entries[index])
        if taken and cost > MAX_WIDGETS:
            break
        position += direction
        taken += 1
    return position


class Transcript(VerticalScroll, can_focus=False):
    """Shows one thread. Whatever changes what is mounted runs in this widget's own queue."""

    def __init__(self, source: Source, place: Place | None = None) -> None:
        super().__init__(id="transcript")
        self._source = source
        self._place = place
        self._views: list[MessageView] = []
        self._start = 0
        self._end = 0
        self._total = 0
        self._throttle = Throttle(self.set_timer, self._sync, FLUSH_INTERVAL)

    def compose(self) -> ComposeResult:
        """Yield what stands above and below the messages."""
        yield Static(id="earlier")
        yield Static(id="rows")

    async def on_mount(self) -> None:
        """Show the end of the thread, or where the user was reading."""
        self.watch(self, "scroll_y", self._scrolled, init=False)
        self.anchor()
        entries = self._source.entries()
        place = self._place
        if place is None or place.end > len(entries):
            await self._show_tail(entries)
        else:
            await self._rebuild(entries, place.start, place.end)
            self.release_anchor()
            self.call_after_refresh(self.scroll_to, y=place.scroll_y, animate=False)

    @property
    def at_tail(self) -> bool:
        """Whether the newest message is among those mounted."""
        return self._end == self._total

    def place(self) -> Place | None:
        """Return where the user is reading; None at the end, where new text is followed."""
        if self.at_tail and self.is_vertical_scroll_end:
            return None
        return Place(self._start, self._end, self.scroll_y)

    def poke(self) -> None:
        """Note that the thread changed; it is painted soon, and not too often."""
        self._throttle.poke()

    def go_to_end(self) -> None:
        """Show the newest message and follow what comes."""
        self.call_later(self._go_to_end)

    def go_to_start(self) -> None:
        """Show the first message."""
        self.call_later(self._go_to_start)

    def move(self, lines: int) -> None:
        """Scroll by so many lines, down when positive; past an end, load what is beyond."""
        if not self._is_against(lines):
            self.scroll_relative(y=lines, animate=False, immediate=True)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Load earlier messages when the wheel turns against the top."""
        if self._is_against(-1):
            event.prevent_default()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Load later messages when the wheel turns against the bottom."""
        if self._is_against(1):
            event.prevent_default()

    def _is_against(self, direction: int) -> bool:
        """Say whether it goes no further this way, after asking for what is beyond.

        Textual must not hear of it: scrolling that moves nothing ends the following of the end.
        """
        against = self.scroll_y <= 0 if direction < 0 else self.scroll_y >= self.max_scroll_y
        if against:
            self._load_beyond(direction)
        return against

    def _scrolled(self, before: float, now: float) -> None:
        if now <= 0 < before:
            self._load_beyond(-1)
        elif now >= self.max_scroll_y > before:
            self._load_beyond(1)

    def _load_beyond(self, direction: int) -> None:
        if direction < 0 and self._start > 0:
            self.call_later(self._load_earlier)
        elif direction > 0 and not self.at_tail:
            self.call_later(self._load_later)

    async def _sync(self) -> None:
        """Bring the mounted messages in line with the thread."""
        entries = self._source.entries()
        follow = self.at_tail
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
            self._start = reach(entries, len(entries), -1, TAIL)
        await self._drop(self._views[kept:])
        self._end = self._start + kept
        self._total = len(entries)
        if follow:
            await self._mount_down_to(entries, len(entries))
            if self.is_vertical_scroll_end:
                await self._trim(at_top=True)
        self._paint_edges()

    async def _show_tail(self, entries: Sequence[Entry]) -> None:
        await self._rebuild(entries, reach(entries, len(entries), -1, TAIL), len(entries))

    async def _rebuild(self, entries: Sequence[Entry], start: int, end: int) -> None:
        with self.app.batch_update():
            await self._drop(self._views)
            self._start = self._end = start
            self._total = len(entries)
            await self._mount_down_to(entries, end)
            self._paint_edges()

    async def _go_to_end(self) -> None:
        if not self.at_tail:
            await self._show_tail(self._source.entries())
        self.anchor()

    async def _go_to_start(self) -> None:
        entries = self._source.entries()
        if self._start > 0:
            await self._rebuild(entries, 0, reach(entries, 0, 1, TAIL))
        self.scroll_home(animate=False)

    async def _load_earlier(self) -> None:
        entries = self._source.entries()
        start = reach(entries, self._start, -1, STEP)
        if start == self._start or not self._views:
            return
        first = self._views[0]
        keep_in_place = self._keeper(first)
        views = [MessageView(entry) for entry in entries[start : self._start]]
        with self.app.batch_update():
            await self.mount_all(views, before=first)
            self._views[:0] = views
            self._start = start
            await self._trim(at_top=False)
            self._paint_edges()
        self.call_after_refresh(keep_in_place)

    async def _load_later(self) -> None:
        entries = self._source.entries()
        if self._end >= len(entries) or not self._views:
            return
        keep_in_place = self._keeper(self._views[-1])
        with self.app.batch_update():
            self._total = len(entries)
            await self._mount_down_to(entries, reach(entries, self._end, 1, STEP))
            await self._trim(at_top=True)
            self._paint_edges()
        self.call_after_refresh(keep_in_place)

    def _keeper(self, view: MessageView) -> Callable[[], None]:
        """Return what puts `view` back to its place on the screen once the layout is made."""
        offset = view.virtual_region.y - self.scroll_y

        def restore() -> None:
            if view.is_attached:
                self.scroll_to(y=view.virtual_region.y - offset, animate=False, immediate=True)

        self.release_anchor()  # else the end would be followed through what is loaded now
        return restore

    async def _mount_down_to(self, entries: Sequence[Entry], end: int) -> None:
        views = [MessageView(entry) for entry in entries[self._end : end]]
        await self.mount_all(views, before="#rows")
        self._views += views
        self._end += len(views)

    async def _trim(self, at_top: bool) -> None:
        """Unmount messages at one edge until the rest is within the limits."""
        views = self._views if at_top else self._views[::-1]
        count, cost = len(views), sum(view.cost for view in views)
        drop: list[MessageView] = []
        # The messages just loaded are at the other edge and stay.
        for view in views[: max(0, count - STEP)]:
            if count <= MAX_MESSAGES and cost <= MAX_WIDGETS:
                break
            drop.append(view)
            count -= 1
            cost -= view.cost
        if at_top:
            self._start += len(drop)
        else:
            self._end -= len(drop)
        await self._drop(drop)

    async def _drop(self, views: Sequence[MessageView]) -> None:
        if views:
            gone = set(views)
            self._views = [view for view in self._views if view not in gone]
            await self.remove_children(gone)

    def _paint_edges(self) -> None:
        _show(self.query_one("#earlier", Static), _earlier(self._start))
        rows = [*self._source.rows()]
        if not self.at_tail:
            rows.insert(0, Row("later", f"↓ {self._total - self._end} later messages"))
        _show(self.query_one("#rows", Static), _rows(rows))


def _show(edge: Static, content: Content) -> None:
    edge.display = bool(content)
    edge.update(content)


def _earlier(count: int) -> Content:
    return Content(f"↑ {count} earlier message{'s' if count > 1 else ''}" if count else "")


def _rows(rows: Sequence[Row]) -> Content:
    return Content("\n").join(
        Content.styled(safe_text(row.text), _ROW_STYLES.get(row.kind, "$foreground 60%"))
        for row in rows
    )
