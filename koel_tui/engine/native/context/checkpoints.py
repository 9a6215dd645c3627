"""Checkpoints: saved states of a model's memory that cannot drop its last tokens.

The memory of a recurrent model is one state, which has no earlier tokens to return to. A hybrid
model has such a state in addition to its KV cache. A checkpoint is a copy of that state.
"""

from dataclasses import dataclass

from koel_tui.engine.native.context.sequence_state import SequenceState

_MAX_PER_SESSION = 4
"""Number of checkpoints of a session: the newest turn and some before it, for edited questions."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The recurrent state of a session after the first `parts` of its parts."""

    parts: int
    state: SequenceState


class Checkpoints:
    """The checkpoints of all sessions; beyond a limit the oldest are dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._all: list[tuple[int, Checkpoint]] = []  # with their session, oldest first

    def add(self, session: int, checkpoint: Checkpoint) -> None:
        """Store a checkpoint of a session; one that is larger than the limit is dropped."""
        if len(checkpoint.state) > self._limit:
            return
        self._all.append((session, checkpoint))
        own = [each for each in self._all if each[0] == session]
        if len(own) > _MAX_PER_SESSION:
            self._all.remove(own[0])
        while sum(len(each.state) for _, each in self._all) > self._limit:
            del self._all[0]

    def find(self, session: int | None, max_parts: int) -> Checkpoint | None:
        """Return the session's checkpoint with the most parts, at most `max_parts`."""
        fitting = (each for each in self._of(session) if each.parts <= max_parts)
        return max(fitting, key=lambda each: each.parts, default=None)

    def truncate(self, session: int | None, parts: int) -> None:
        """Drop the session's checkpoints with more than `parts` parts."""
        self._all = [each for each in self._all if each[0] != session or each[1].parts <= parts]

    def copy(self, source: int, target: int) -> None:
        """Replace the checkpoints of the session `target` by those of `source`."""
        self.truncate(target, 0)
        for checkpoint in self._of(source):
            self.add(target, checkpoint)

    def size(self, session: int) -> int:
        """Return the bytes of the session's checkpoints."""
        return sum(len(each.state) for each in self._of(session))

    def _of(self, session: int | None) -> list[Checkpoint]:
        return [checkpoint for owner, checkpoint in self._all if owner == session]
