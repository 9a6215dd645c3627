"""The fate of a session's state when a newer session of its thread starts. Pure."""

from enum import Enum, auto

from koel_tui.protocol import ChatState, settle
from koel_tui.storage.recovery_files import is_continuation


class HandoverEffect(Enum):
    """The effect of a newer session on a state."""

    SAME = auto()
    """The newer session starts with this state."""
    CONTAINED = auto()
    """The newer session contains all of this state, or this state is stored and older."""
    LOST = auto()
    """The newer session would replace this state with a different one."""


def handover_effect(state: ChatState, newer: ChatState, *, dirty: bool) -> HandoverEffect:
    """Return the fate of `state`, stored unless `dirty`, when a session starts with `newer`.

    A stored state is lost if the newer session was loaded before the state was stored. This does
    not apply to an empty newer state: the thread was deleted or restarted.
    """
    state = settle(state)
    if state == newer:
        return HandoverEffect.SAME
    if state.state == newer.state and is_continuation(state, newer):
        return HandoverEffect.CONTAINED
    stale = bool(newer.messages) and is_continuation(newer, state)
    return HandoverEffect.LOST if dirty or stale else HandoverEffect.CONTAINED
