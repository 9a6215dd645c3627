"""What becomes of the state of a session when a newer session of its thread begins. Pure."""

from enum import Enum, auto

from koel_tui.protocol import ChatState, settle
from koel_tui.storage.recovery_files import is_continuation


class Fate(Enum):
    """What the newer session does to a state."""

    SAME = auto()
    """It begins with it."""
    KEPT = auto()
    """It has all of it, or it is stored and older."""
    LOST = auto()
    """It would replace it by something else."""


def fate_of(state: ChatState, newer: ChatState, *, dirty: bool) -> Fate:
    """Return what becomes of `state`, stored unless `dirty`, when a session begins with `newer`.

    A stored state is lost where the newer session was loaded before it was stored. An empty newer
    state is no such case: the thread was deleted, or is begun again.
    """
    state = settle(state)
    if state == newer:
        return Fate.SAME
    if state.state == newer.state and is_continuation(state, newer):
        return Fate.KEPT
    stale = bool(newer.messages) and is_continuation(newer, state)
    return Fate.LOST if dirty or stale else Fate.KEPT
