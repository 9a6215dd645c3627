"""Observers, which receive all events and states of a client's sessions without affecting them."""

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from koel_tui.protocol import ChatState, Event

_log = logging.getLogger(__name__)


class Observer(Protocol):
    """Receives each event before it is folded and each state after; must not block."""

    def on_event(self, thread_id: str, event: Event) -> None:
        """Handle an event that is about to be folded."""
        ...

    def on_state(self, thread_id: str, state: ChatState) -> None:
        """Handle a new state."""
        ...


class Observers:
    """The observers of a client; events are delivered in order, states in reverse order."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)

    def event(self, thread_id: str, event: Event) -> None:
        """Deliver an event to all; an exception is logged, and the others still receive it."""
        for observer in self._observers:
            _call_isolated(observer, lambda each: each.on_event(thread_id, event))

    def state(self, thread_id: str, state: ChatState) -> None:
        """Deliver a state to all, with the same error handling."""
        for observer in reversed(self._observers):
            _call_isolated(observer, lambda each: each.on_state(thread_id, state))


def _call_isolated(observer: Observer, notify: Callable[[Observer], None]) -> None:
    try:
        notify(observer)
    except Exception:  # an observer's error must not affect the session
        _log.exception("An observer raised: %s", type(observer).__name__)
