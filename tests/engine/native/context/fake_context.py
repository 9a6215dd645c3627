"""A context without a model: it stores the content of its sequences and logs each call."""

from typing import Any

from koel_tui.engine.errors import ModelLoadError
from koel_tui.engine.native.context.host_buffer import host_buffer
from koel_tui.engine.native.context.kv_cache import KvCache
from koel_tui.engine.native.context.prompt_parts import Part
from koel_tui.engine.native.context.rates import Rate
from koel_tui.engine.native.context.sequence_state import SequenceState
from koel_tui.engine.native.context.slots import Slot

BYTES_PER_TOKEN = 100


class FakeNative:
    """The result of `FakeContext.create`."""

    def __init__(self, slots: int, log: list[str]) -> None:
        self.slots = slots
        self._log = log

    def close(self) -> None:
        self._log.append(f"close {self.slots}")


class FakeContext:
    """A `Context` of up to `limit` slots; the size of a state is its number of positions.

    A copy of a sequence has only the last `window` positions of a sliding window; 0 means no such
    window.
    """

    is_recurrent = False

    def __init__(self, slots: int = 1, limit: int = 99, window: int = 0) -> None:
        self.log: list[str] = []
        self.window = window
        self.oldest: dict[int, int] = {}
        self.limit = limit
        self.positions: dict[int, int] = {}
        self.prefill_rate, self.copy_rate = Rate(1000.0), Rate(1e9)
        self.revision = 0
        self._native = FakeNative(slots, self.log)

    @property
    def slots(self) -> int:
        return self._native.slots

    def create(self, slots: int) -> FakeNative:
        if slots > self.limit:
            self.log.append(f"refuse {slots}")
            raise ModelLoadError(f"no memory for {slots}")
        self.log.append(f"create {slots}")
        return FakeNative(slots, self.log)

    def adopt(self, native: FakeNative) -> FakeNative:
        before, self._native = self._native, native
        self.positions.clear()
        self.revision += 1
        return before

    def can_truncate(self, sequence: int, position: int) -> bool:
        return self.oldest.get(sequence, 0) <= max(0, position - self.window)

    def can_truncate_copy(self, positions: int) -> bool:
        return not self.window or positions <= self.window

    def truncate(self, sequence: int, position: int) -> bool:
        if not self.can_truncate(sequence, position):
            return False
        self.log.append(f"truncate {sequence} {position}")
        self.positions[sequence] = position
        return True

    def clear(self, sequence: int) -> bool:
        self.positions[sequence] = self.oldest[sequence] = 0
        return True

    def copy_state(self, sequence: int, *, recurrent_only: bool = False) -> SequenceState:
        self.log.append(f"copy {sequence}")
        return SequenceState(host_buffer(self.positions.get(sequence, 0) * BYTES_PER_TOKEN))

    def load_state(
        self, sequence: int, state: SequenceState, *, recurrent_only: bool = False
    ) -> bool:
        self.log.append(f"load {sequence}")
        self.positions[sequence] = len(state) // BYTES_PER_TOKEN
        if self.window:
            self.oldest[sequence] = max(0, self.positions[sequence] - self.window)
        return True


def cache_over(
    context: FakeContext, max_slots: int, parked_limit: int = 10**9, **more: Any
) -> KvCache:
    made: Any = context
    return KvCache(made, max_slots, BYTES_PER_TOKEN, parked_limit, **more)


def answered(
    cache: KvCache, context: FakeContext, session: int, prompt: list[Part], busy: set[int]
) -> Slot:
    """Prepare a session's slot, and add the rest of the prompt to it as a decode does."""
    slot = cache.prepare(session, None, prompt, busy)
    slot.parts.extend(prompt[len(slot.parts) :])
    context.positions[slot.sequence] = slot.parts.positions
    return slot
