"""Host memory for the contexts of sessions without a slot."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from koel_tui.engine.native.context.checkpoints import Checkpoint
from koel_tui.engine.native.context.prompt_parts import PromptParts
from koel_tui.engine.native.context.sequence_state import SequenceState


@dataclass(frozen=True, slots=True)
class ParkedContext:
    """A context outside its slot: its parts, and llama.cpp's bytes for them.

    `checkpoint` is the newest one of a recurrent model, if there is any. `lora` is the adapter that
    the parts were decoded with.
    """

    parts: PromptParts
    state: SequenceState
    checkpoint: Checkpoint | None = None
    lora: Path | None = None


class ParkedContexts:
    """The parked contexts by session; beyond the limit the least recently parked is dropped."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parked: OrderedDict[int, ParkedContext] = OrderedDict()

    def __iter__(self) -> Iterator[tuple[int, ParkedContext]]:
        """Iterate over the sessions with their contexts."""
        return iter(self._parked.items())

    def park(self, session: int, parked: ParkedContext) -> None:
        """Store a session's context; one that is larger than the limit is dropped."""
        self.drop(session)
        self._parked[session] = parked
        while self._bytes() > self._limit:
            self._parked.popitem(last=False)

    def pop(self, session: int) -> ParkedContext | None:
        """Remove and return a session's context; None if there is none."""
        return self._parked.pop(session, None)

    def get(self, session: int) -> ParkedContext | None:
        """Return a session's context without removing it; None if there is none."""
        return self._parked.get(session)

    def drop(self, session: int) -> None:
        """Remove a session's context."""
        self._parked.pop(session, None)

    def sizes(self) -> dict[int, int]:
        """Return the size in bytes of each parked session."""
        return {session: len(parked.state) for session, parked in self._parked.items()}

    def _bytes(self) -> int:
        return sum(len(parked.state) for parked in self._parked.values())
