"""The events of a turn that its caller has not read."""

import asyncio
from collections import deque
from dataclasses import dataclass

from koel_tui.engine.types import Progress
from koel_tui.engine.wire_messages import Event, HiddenThinking, PrefillProgress, Text, Thinking
from koel_tui.protocol.rope import Rope

Item = Event | Progress | Exception

MAX_UNREAD = 256
"""The number of unread events above which text is joined, more than a reader in time leaves."""


@dataclass(frozen=True, slots=True)
class _JoinedText:
    """The text of several events of one type."""

    kind: type[Text] | type[Thinking]
    turn: int
    text: Rope

    def as_event(self) -> Text | Thinking:
        return self.kind(self.turn, str(self.text))


class TurnInbox:
    """The unread events of one turn, in order.

    The worker never waits for a reader. Above `MAX_UNREAD` events, new text is joined with the text
    before it and progress is dropped. So a turn that is not read takes the memory of its answer,
    and nothing of the answer is lost.
    """

    def __init__(self) -> None:
        self._items: deque[Item | _JoinedText] = deque()
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add an event; never waits."""
        if len(self._items) < MAX_UNREAD or not self._join(item):
            self._items.append(item)
            self._ready.set()

    async def get(self) -> Item:
        """Remove and return the oldest event; wait if there is none."""
        while not self._items:
            self._ready.clear()
            await self._ready.wait()
        item = self._items.popleft()
        return item.as_event() if isinstance(item, _JoinedText) else item

    def _join(self, item: Item) -> bool:
        """Join an event with the newest unread one, or drop it; return whether that is possible."""
        last = self._items[-1]
        match item:
            case Text() | Thinking():
                if isinstance(last, Text | Thinking):
                    last = _JoinedText(type(last), last.turn, Rope.from_text(last.text))
                if not isinstance(last, _JoinedText) or last.kind is not type(item):
                    return False
                self._items[-1] = _JoinedText(last.kind, last.turn, last.text.append(item.text))
                return True
            case PrefillProgress() | HiddenThinking() | Progress():
                return True
            case _:
                return False
