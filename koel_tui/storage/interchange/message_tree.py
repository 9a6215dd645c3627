"""The messages of a thread as a tree, from which branches are made."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Self

from koel_tui.protocol import ChatState, Fork, Message


@dataclass(slots=True)
class MessageTree:
    """Messages by id, and the ids that follow each in the order of the branches.

    The first messages follow None.
    """

    messages: dict[str, Message] = field(default_factory=dict)
    children: dict[str | None, list[str]] = field(default_factory=dict)

    @classmethod
    def from_state(cls, state: ChatState) -> Self | None:
        """Return the tree of a thread; None if ids are used twice or a branch has no start."""
        tree = cls()
        following: dict[str | None, str] = {}  # the next message in the same branch
        chains: list[tuple[str | None, tuple[Message, ...]]] = [(None, state.messages)]
        chains += [(fork.after, branch) for fork in state.forks for branch in fork.branches]
        for number, (after, chain) in enumerate(chains):
            for index, message in enumerate(chain):
                if message.id in tree.messages:
                    return None
                tree.add(message, after)
                if index or number == 0:
                    following[after] = message.id
                after = message.id
        for fork in state.forks:
            if fork.after is not None and fork.after not in tree.messages:
                return None
            first_ids = [branch[0].id if branch else "" for branch in fork.branches]
            first_ids[fork.shown] = following.get(fork.after, "")
            tree.children[fork.after] = [first for first in first_ids if first in tree.messages]
        return tree

    def add(self, message: Message, after: str | None) -> None:
        """Add a message as the last branch after another one."""
        self.messages[message.id] = message
        self.children.setdefault(after, []).append(message.id)

    def remove(self, message_id: str) -> Message:
        """Remove a message whose branches then follow the message before it."""
        after = self.parents[message_id]
        siblings = self.children[after]
        index = siblings.index(message_id)
        siblings[index : index + 1] = self.children.pop(message_id, [])
        return self.messages.pop(message_id)

    @property
    def parents(self) -> dict[str, str | None]:
        """The id of the message before each message."""
        return {child: after for after, children in self.children.items() for child in children}

    def path(self, message_id: str | None) -> list[str]:
        """Return the ids from the start of the thread to a message."""
        parents, found = self.parents, []
        while message_id is not None:
            found.append(message_id)
            message_id = parents.get(message_id)
        return found[::-1]

    def branches(
        self, shown_id: str | None, preferred: Set[str] = frozenset()
    ) -> tuple[tuple[Message, ...], tuple[Fork, ...]]:
        """Return the shown messages and the forks; the shown branch contains `shown_id`.

        At the other forks the branch that begins with a `preferred` message is shown, or the last.
        """
        shown = set(self.path(shown_id))
        choices = {
            after: _choose(ids, shown, preferred) for after, ids in self.children.items() if ids
        }
        forks = tuple(
            Fork(
                after,
                tuple(
                    () if index == choices[after] else self._chain(first, choices)
                    for index, first in enumerate(ids)
                ),
                choices[after],
            )
            for after, ids in self.children.items()
            if len(ids) > 1
        )
        roots = self.children.get(None)
        return self._chain(roots[choices[None]], choices) if roots else (), forks

    def _chain(self, first: str, choices: dict[str | None, int]) -> tuple[Message, ...]:
        chain = [self.messages[first]]
        while ids := self.children.get(chain[-1].id):
            chain.append(self.messages[ids[choices[chain[-1].id]]])
        return tuple(chain)


def _choose(ids: Sequence[str], *wanted: Set[str]) -> int:
    """Return the index of an id that is in the first possible set, or else the last index."""
    indexes = (
        index for ids_wanted in wanted for index, each in enumerate(ids) if each in ids_wanted
    )
    return next(indexes, len(ids) - 1)
