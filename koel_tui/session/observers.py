"""Observers: told of everything in every session of a client, able to disturb none of it."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from koel_tui.protocol import ChatState, Event

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Hears each event before it is folded and each state after; must not wait."""

    def on_event(self, thread_id: str, event: Event) -> None:
        """Hear an event that is about to be folded."""
        ...

    def on_state(self, thread_id: str, state: ChatState) -> None:
        """Hear a new state."""
        ...


class Observers:
    """The observers of a client: events reach the first one first, states the last one first."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def event(self, thread_id: str, event: Event) -> None:
        """Tell all of an event; one that raises is reported and the others hear it all the same."""
        for observer in self._observers:
            _isolated(observer, lambda each: each.on_event(thread_id, event))

    def state(self, thread_id: str, state: ChatState) -> None:
        """Tell all of a state, likewise."""
        for observer in reversed(self._observers):
            _isolated(observer, lambda each: each.on_state(thread_id, state))


def _isolated(observer: Observer, tell: Callable[[Observer], None]) -> None:
    try:
        tell(observer)
    except Exception:  # an onlooker's failure is not the conversation's
        _log.exception("An observer raised: %s", type(observer).__name__)
