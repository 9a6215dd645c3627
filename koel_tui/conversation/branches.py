"""The branches of a thread as a list. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from koel_tui.conversation.entries import BranchPoint, branching_of

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a fork: its number, counted from 1, and its first message.

    `role` is empty if the branch has no message yet.
    """

    branching: BranchPoint
    place: int
    role: str = ""
    text: str = ""

    @property
    def shown(self) -> bool:
        """Whether this branch is shown."""
        return self.place == self.branching.shown


def branches_of(state: "ChatState") -> Iterator[Branch]:
    """Yield every branch at the forks of the shown messages, in the order of the forks."""
    from koel_tui.protocol import forks_shown

    forks = forks_shown(state)
    for count, after in enumerate([None, *(message.id for message in state.messages)]):
        if (fork := forks.get(after)) is None:
            continue
        branching = branching_of(fork)
        for place, kept in enumerate(fork.branches):
            said = state.messages[count:] if place == fork.shown else kept
            first = next((each for each in said if each.role in ("user", "assistant")), None)
            if first is None:
                yield Branch(branching, place + 1)
            else:
                yield Branch(branching, place + 1, first.role, first.content)
