"""The forks of a thread, and their branches. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Fork


@dataclass(frozen=True, slots=True)
class BranchPoint:
    """A fork of a thread: the number of the shown branch, counted from 1, and the branch count.

    `after` is the id of the preceding message, None at the start of the thread.
    """

    after: str | None
    number: int
    count: int

    @property
    def label(self) -> str:
        """A short label, for example `‹1/2›`."""
        return f"‹{self.number}/{self.count}›"


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


def find_branch_points(state: "ChatState") -> tuple[dict[str, BranchPoint], BranchPoint | None]:
    """Return the forks of a thread by the id of the first message of the shown branch.

    The second value is the fork at the end, if its shown branch has no complete message.
    """
    from koel_tui.protocol.forks import message_counts

    if not state.forks:
        return {}, None
    counts = message_counts(state)
    shown = [fork for fork in state.forks if fork.after in counts]
    found: dict[str, BranchPoint] = {}
    for fork in sorted(shown, key=lambda fork: counts[fork.after]):
        count = counts[fork.after]
        if count == len(state.messages):
            return found, _to_branch_point(fork)
        found[state.messages[count].id] = _to_branch_point(fork)
    return found, None


def list_branches(state: "ChatState") -> Iterator[Branch]:
    """Yield every branch at the forks of the shown messages, in the order of the forks."""
    from koel_tui.protocol import forks_shown

    forks = forks_shown(state)
    for count, after in enumerate([None, *(message.id for message in state.messages)]):
        if (fork := forks.get(after)) is None:
            continue
        branch_point = _to_branch_point(fork)
        for index, hidden in enumerate(fork.branches):
            messages = state.messages[count:] if index == fork.shown else hidden
            first = next((each for each in messages if each.role in ("user", "assistant")), None)
            if first is None:
                yield Branch(branch_point, index + 1)
            else:
                yield Branch(branch_point, index + 1, first.role, first.content)


def _to_branch_point(fork: "Fork") -> BranchPoint:
    """Convert a fork to a `BranchPoint`."""
    return BranchPoint(fork.after, fork.shown + 1, len(fork.branches))
