"""Where a thread goes on in several ways: what was regenerated or edited stays, beside the new."""

from collections.abc import Mapping
from dataclasses import replace

from koel_tui.protocol.run_end import names_of, truncate
from koel_tui.protocol.state import ChatState, Fork, RunPhase


def fork_off(state: ChatState, count: int) -> ChatState:
    """Return `state` with its first `count` messages, what came after them kept as a branch.

    What is said next becomes another branch, the one shown.
    """
    begun, dropped = truncate(state, count), state.messages[count:]
    if all(message.is_empty for message in dropped):
        return begun
    after = state.messages[count - 1].id if count else None
    fork = next((fork for fork in state.forks if fork.after == after), Fork(after, ((),)))
    branches = [*fork.branches, ()]
    branches[fork.shown] = dropped
    begun = replace(begun, reasoning_echo=state.reasoning_echo)  # it belongs to what is kept
    return _with(begun, replace(fork, branches=tuple(branches), shown=len(branches) - 1))


def switch(state: ChatState, after: str | None, step: int = 1) -> ChatState:
    """Return `state` with the branch shown that is so many further after this message, going round.

    A branch in which nothing was said is gone once it is left. The identical state comes back when
    nothing forks there.
    """
    count = _places(state).get(after)
    fork = next((fork for fork in state.forks if fork.after == after), None)
    if fork is None or count is None:
        return state
    wanted = (fork.shown + step) % len(fork.branches)
    if wanted == fork.shown:
        return state
    branches, left = list(fork.branches), state.messages[count:]
    messages = state.messages[:count] + branches[wanted]
    branches[fork.shown], branches[wanted] = left, ()
    if not left:
        del branches[fork.shown]
        wanted -= wanted > fork.shown
    phase = RunPhase.IDLE if state.phase is RunPhase.ERROR else state.phase
    begun = replace(truncate(state, count), messages=messages, error=None, phase=phase)
    begun = replace(begun, reasoning_echo=state.reasoning_echo)
    return _with(begun, replace(fork, branches=tuple(branches), shown=wanted))


def echo_shown(state: ChatState) -> Mapping[str, bytes]:
    """Return the encrypted reasoning without what belongs to branches that are not shown."""
    hidden = {
        name
        for fork in state.forks
        for branch in fork.branches
        for message in branch
        for name in names_of(message)
    }
    return {key: value for key, value in state.reasoning_echo.items() if key not in hidden}


def forks_shown(state: ChatState) -> Mapping[str | None, Fork]:
    """Return the forks that are in the messages shown, by the message after which they are."""
    places = _places(state)
    return {fork.after: fork for fork in state.forks if fork.after in places}


def _places(state: ChatState) -> dict[str | None, int]:
    """Return how many messages of the thread there are up to and with each."""
    return {None: 0, **{message.id: place for place, message in enumerate(state.messages, 1)}}


def _with(state: ChatState, fork: Fork) -> ChatState:
    forks = {each.after: each for each in state.forks}
    forks[fork.after] = fork
    return replace(state, forks=tuple(each for each in forks.values() if len(each.branches) > 1))
