"""Forks of a thread: messages that were regenerated or edited stay as branches."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from operator import attrgetter

from koel_tui.protocol.run_end import echo_ids, truncate
from koel_tui.protocol.state import ChatState, Fork, RunPhase


def fork_off(state: ChatState, count: int) -> ChatState:
    """Return `state` with its first `count` messages and the rest kept as a branch.

    The next messages form another branch, which is the one shown.
    """
    new_state, dropped = truncate(state, count), state.messages[count:]
    if all(message.is_empty for message in dropped):
        return new_state
    after = state.messages[count - 1].id if count else None
    fork = next((fork for fork in state.forks if fork.after == after), Fork(after, ((),)))
    branches = [*fork.branches, ()]
    branches[fork.shown] = dropped
    # The branch that is kept still needs its encrypted reasoning.
    new_state = replace(new_state, reasoning_echo=state.reasoning_echo)
    return _with_fork(new_state, replace(fork, branches=tuple(branches), shown=len(branches) - 1))


def switch(state: ChatState, after: str | None, step: int = 1) -> ChatState:
    """Return `state` with another branch shown at the fork after the message `after`.

    That is the branch `step` places further; the order is cyclic. An empty branch is removed when
    it is left. Returns the identical state if there is no such fork.
    """
    count = message_counts(state).get(after)
    fork = next((fork for fork in state.forks if fork.after == after), None)
    if fork is None or count is None:
        return state
    target = (fork.shown + step) % len(fork.branches)
    if target == fork.shown:
        return state
    branches, hidden = list(fork.branches), state.messages[count:]
    messages = state.messages[:count] + branches[target]
    branches[fork.shown], branches[target] = hidden, ()
    if not hidden:
        del branches[fork.shown]
        target -= target > fork.shown
    phase = RunPhase.IDLE if state.phase is RunPhase.ERROR else state.phase
    new_state = replace(truncate(state, count), messages=messages, error=None, phase=phase)
    new_state = replace(new_state, reasoning_echo=state.reasoning_echo)
    return _with_fork(new_state, replace(fork, branches=tuple(branches), shown=target))


def echo_shown(state: ChatState) -> Mapping[str, bytes]:
    """Return the encrypted reasoning, except that of hidden branches."""
    if not state.reasoning_echo:
        return {}
    hidden = {
        name
        for fork in state.forks
        for branch in fork.branches
        for message in branch
        for name in echo_ids(message)
    }
    return {key: value for key, value in state.reasoning_echo.items() if key not in hidden}


def forks_shown(state: ChatState) -> Mapping[str | None, Fork]:
    """Return the forks in the messages shown, by the id of the message before each."""
    counts = message_counts(state)
    return {fork.after: fork for fork in state.forks if fork.after in counts}


def message_counts(state: ChatState) -> dict[str | None, int]:
    """Return the number of messages up to and including each message, by its id."""
    ids = map(attrgetter("id"), state.messages)
    return dict(zip(chain((None,), ids), range(len(state.messages) + 1), strict=True))


def _with_fork(state: ChatState, fork: Fork) -> ChatState:
    forks = {each.after: each for each in state.forks}
    forks[fork.after] = fork
    return replace(state, forks=tuple(each for each in forks.values() if len(each.branches) > 1))
