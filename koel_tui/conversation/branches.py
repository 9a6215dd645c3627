"""The branches of a thread as a list. Pure functions."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from koel_tui.conversation.entries import BranchPoint, to_branch_point

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of a fork: its number, counted from 1, and its first message.

    `role` is empty if the branch has no message yet.
    """

    branch_point: BranchPoint
    number: int
    role: str = ""
    text: str = ""

    @property
    def is_shown(self) -> bool:
        """True if this branch is shown."""
        return self.number == self.branch_point.number


def list_branches(state: "ChatState") -> Iterator[Branch]:
    """Yield every branch at the forks of the shown messages, in the order of the forks."""
    from koel_tui.protocol import forks_shown

    forks = forks_shown(state)
    for count, after in enumerate([None, *(message.id for message in state.messages)]):
        if (fork := forks.get(after)) is None:
            continue
        branch_point = to_branch_point(fork)
        for index, hidden in enumerate(fork.branches):
            messages = state.messages[count:] if index == fork.shown else hidden
            first = next((each for each in messages if each.role in ("user", "assistant")), None)
            if first is None:
                yield Branch(branch_point, index + 1)
            else:
                yield Branch(branch_point, index + 1, first.role, first.content)
