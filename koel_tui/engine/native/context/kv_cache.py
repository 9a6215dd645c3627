"""The KV cache of all sessions: slots, parked contexts and shared prefixes."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from koel_tui.engine.errors import ModelLoadError
from koel_tui.engine.native.context.checkpoints import Checkpoint, Checkpoints
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.parked_contexts import ParkedContext, ParkedContexts
from koel_tui.engine.native.context.prompt_parts import Part, PromptParts
from koel_tui.engine.native.context.sequence_gaps import SequenceGaps
from koel_tui.engine.native.context.sequence_state import SequenceState
from koel_tui.engine.native.context.slots import Slot, SlotTable
from koel_tui.engine.types import SessionMemory

_log = logging.getLogger(__name__)
_MIN_COPIED_PARTS = 32
"""Minimum number of parts that a copied prefix of another session must save."""


@dataclass(frozen=True, slots=True)
class _Donor:
    """The context of another session, in its slot or parked."""

    session: int | None
    parts: PromptParts
    copied_bytes: int
    """The bytes that are copied to get it into another slot."""
    state: Callable[[], SequenceState]
    """Returns the bytes of the context."""


@contextmanager
def _log_errors(work: str) -> Iterator[None]:
    """Log an error of work that only saves time, instead of raising it."""
    try:
        yield
    except Exception:
        _log.exception("An error in %s", work)


class KvCache:
    """The KV cache of the sessions: assigns slots, parks contexts, and reuses known prefixes.

    A session's context is in its slot, parked in host memory, or lost and then prefilled again.
    """

    def __init__(
        self,
        context: Context,
        max_slots: int,
        bytes_per_token: int,
        parked_limit_bytes: int,
        state_bytes: int = 0,
        check_memory: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`max_slots` is the most slots that the context may have; it grows when they are used.

        `state_bytes` is the recurrent state of a slot, in addition to its tokens. `check_memory`
        raises `ModelLoadError` if another context with a number of slots does not fit the memory.
        """
        self._context = context
        self._slots = SlotTable(context.slots)
        self._max_slots = max_slots
        self._check_memory = check_memory
        self._parked = ParkedContexts(parked_limit_bytes)
        self._checkpoints = Checkpoints(parked_limit_bytes // 2)
        self._bytes_per_token = bytes_per_token
        self._state_bytes = state_bytes
        self._gaps = SequenceGaps(context, self._slots, bytes_per_token)

    @property
    def max_slots(self) -> int:
        """The most slots that the context will have; fewer after the memory was too small."""
        return self._max_slots

    def prepare(
        self, session: int, lora: Path | None, prompt: Sequence[Part], busy: Collection[int]
    ) -> Slot:
        """Return the session's slot, holding the longest known prefix of the prompt.

        It never holds the whole prompt, because the last token is decoded again for its logits. If
        more sessions are in use than there are slots, the context grows; while sessions in `busy`
        are generating it stays, and another session is parked. Raises `LookupError` when every slot
        belongs to a session in `busy`.
        """
        slot = self._slots.get(session)
        if slot is None:
            if not busy:
                self._grow(self._sessions_in_use(session))
            slot = self._assign_slot(session, lora, busy)
        donor = self._find_donor(slot, prompt)
        if donor is not None:
            self._copy_into(slot, donor)
        self.truncate(slot, min(slot.parts.common_prefix(prompt), len(prompt) - 1))
        return slot

    def add_checkpoint(self, slot: Slot) -> None:
        """Save the state of a recurrent model, so that the slot can return to its tokens so far."""
        if slot.session is None:
            return
        with _log_errors("saving a checkpoint"), suppress(MemoryError):
            state = self._context.copy_state(slot.sequence, recurrent_only=True)
            self._checkpoints.add(slot.session, Checkpoint(len(slot.parts), state))

    def close_gaps(self, decoded: Sequence[Slot], seconds: float) -> None:
        """Make the sequences of slots that are decoded together consecutive, if that pays.

        `seconds` is the time that their last step took. Call it after each step.
        """
        with _log_errors("moving a sequence"), suppress(MemoryError):
            self._gaps.record(decoded, seconds)

    def truncate(self, slot: Slot, parts: int) -> None:
        """Drop all but the first `parts` of a slot, or more if its memory cannot do that."""
        if not parts or parts != len(slot.parts):
            self._return_to(slot, parts)

    def restore(self, slots: Iterable[Slot]) -> None:
        """Make the context match the slots after a batch that may be partly decoded."""
        for slot in slots:
            with _log_errors("dropping the tail of a sequence"):
                self._return_to(slot, len(slot.parts))
                continue
            self._clear(slot)

    def add_parked(self, session: int, lora: Path | None, parked: ParkedContext) -> None:
        """Store a context from outside as the parked context of a session."""
        self._parked.park(session, replace(parked, lora=lora))
        if parked.checkpoint is not None:
            self._checkpoints.add(session, parked.checkpoint)

    def copy(self, session: int) -> ParkedContext | None:
        """Return the session's context, copied if it is in a slot; None if it holds nothing."""
        slot = next((slot for slot in self._slots if slot.session == session), None)
        context = self._parked.get(session)
        if slot is not None:
            context = self._copy(slot) if slot.parts else None
        if context is None:
            return None
        checkpoint = self._checkpoints.find(session, len(context.parts))
        return replace(context, checkpoint=checkpoint)

    def release(self, session: int) -> None:
        """Drop a session's context and free its slot."""
        self._parked.drop(session)
        self._checkpoints.truncate(session, 0)
        slot = self._slots.get(session)
        if slot is not None:
            self._clear(slot)
            self._slots.release(slot)

    def memory(self) -> tuple[SessionMemory, ...]:
        """Return the bytes that each session's tokens take, and whether they are parked."""
        resident = [
            SessionMemory(slot.session, self._used_bytes(slot), parked=False)
            for slot in self._slots
            if slot.session is not None
        ]
        parked = [
            SessionMemory(session, size, parked=True)
            for session, size in self._parked.sizes().items()
        ]
        both = sorted((*resident, *parked), key=lambda each: each.session)
        return tuple(
            replace(each, kv_bytes=each.kv_bytes + self._checkpoints.size(each.session))
            for each in both
        )

    def _used_bytes(self, slot: Slot) -> int:
        state = self._state_bytes if slot.parts else 0
        return slot.parts.tokens * self._bytes_per_token + state

    def _sessions_in_use(self, session: int) -> int:
        """Return how many sessions hold a context, `session` included."""
        resident = {slot.session for slot in self._slots if slot.session is not None}
        return len(resident | set(self._parked.sizes()) | {session})

    def _grow(self, wanted: int) -> None:
        """Double the slots until there are `wanted`. If memory is short, add half as many."""
        count = total = len(self._slots)
        while total < wanted:
            total *= 2
        added = min(total, self._max_slots) - count
        if added <= 0:
            return
        # A context that cannot grow still answers: sessions without a slot are parked.
        with _log_errors("growing the context"):
            while added > 0:
                try:
                    self._replace_context(count + added)
                    return
                except (ModelLoadError, MemoryError) as error:
                    _log.warning("No context with %d slots: %s", count + added, error)
                    added //= 2
            self._max_slots = count

    def _replace_context(self, slots: int) -> None:
        """Use a context with `slots` slots, all free; what sessions hold is parked.

        A parked session gets a slot at its next turn, so this costs nothing for sessions that are
        not used again. The context stays as it is if this fails.
        """
        self._check_memory(slots)
        larger = self._context.create(slots)
        try:
            held = [
                (slot.session, self._copy(slot))
                for slot in self._slots
                if slot.session is not None and slot.parts
            ]
        except BaseException:
            larger.close()
            raise
        former = self._context.adopt(larger)
        self._slots.replace_all(slots)
        for session, parked in held:
            self._parked.park(session, parked)
        former.close()

    def _assign_slot(self, session: int, lora: Path | None, busy: Collection[int]) -> Slot:
        slot = self._slots.acquire(busy)
        parked = self._parked.pop(session)  # first: parking another session may drop it
        if slot.session is not None and slot.parts:
            # A session that cannot be parked is prefilled again at its next turn.
            with _log_errors("parking a session"), suppress(MemoryError):
                self._parked.park(slot.session, self._copy(slot))
        # Reset the slot before native calls: if one fails, the slot claims no stale tokens.
        slot.parts.clear()
        slot.session, slot.lora = session, lora
        if parked is not None and self._context.load_state(slot.sequence, parked.state):
            slot.parts.extend(parked.parts)
        else:
            self.truncate(slot, 0)
        return slot

    def _find_donor(self, slot: Slot, prompt: Sequence[Part]) -> _Donor | None:
        """Return the context whose copy saves most; None if no copy is faster than a prefill."""
        own = self._reusable_parts(slot.session, slot.parts, prompt, slot.sequence)
        best, most = None, 0.0
        for donor in self._donors(slot):
            saved = self._reusable_parts(donor.session, donor.parts, prompt) - own
            if saved >= _MIN_COPIED_PARTS:
                prefill = self._context.prefill_rate.seconds(saved)
                gain = prefill - self._context.copy_rate.seconds(donor.copied_bytes)
                if gain > most:
                    best, most = donor, gain
        return best

    def _donors(self, target: Slot) -> Iterator[_Donor]:
        """Yield the contexts of other sessions with the same adapter."""
        for slot in self._slots:
            if slot is not target and slot.lora == target.lora and slot.parts:
                copy = partial(self._context.copy_state, slot.sequence)
                # It is copied out of its slot, and into the other one.
                yield _Donor(slot.session, slot.parts, 2 * self._used_bytes(slot), copy)
        for session, parked in self._parked:
            if parked.lora == target.lora:
                state = partial(getattr, parked, "state")
                yield _Donor(session, parked.parts, len(parked.state), state)

    def _reusable_parts(
        self,
        session: int | None,
        parts: PromptParts,
        prompt: Sequence[Part],
        sequence: int | None = None,
    ) -> int:
        """Return the length of the longest prefix of a prompt that a context can return to.

        The context is the one in a sequence, or a copy if `sequence` is None.
        """
        length = min(parts.common_prefix(prompt), len(prompt) - 1)
        if length == len(parts):
            return length
        if self._context.is_recurrent:
            checkpoint = self._checkpoints.find(session, length)
            return 0 if checkpoint is None else checkpoint.parts
        if sequence is None:
            is_possible = self._context.can_truncate_copy(parts.positions)
        else:
            is_possible = self._context.can_truncate(sequence, parts.position(length))
        return length if is_possible else 0

    def _copy_into(self, slot: Slot, donor: _Donor) -> None:
        """Copy the donor's context to a slot; on MemoryError the slot is unchanged."""
        try:
            state = donor.state()
        except MemoryError:
            return
        slot.parts.clear()  # a copy that fails leaves the sequence empty
        if self._context.load_state(slot.sequence, state):
            slot.parts.extend(donor.parts)
            if slot.session is not None and donor.session is not None:
                self._checkpoints.copy(donor.session, slot.session)

    def _clear(self, slot: Slot) -> None:
        """Clear a slot; if its sequence cannot be cleared now, its next use clears it."""
        slot.parts.clear()
        self._checkpoints.truncate(slot.session, 0)
        with _log_errors("clearing a sequence"):
            self._context.clear(slot.sequence)

    def _copy(self, slot: Slot) -> ParkedContext:
        return ParkedContext(
            slot.parts.copy(), self._context.copy_state(slot.sequence), lora=slot.lora
        )

    def _return_to(self, slot: Slot, parts: int) -> None:
        """Drop all but the first `parts` of a slot, or more if its memory cannot do that."""
        position = slot.parts.position(parts)
        if not (parts and self._context.truncate(slot.sequence, position)):
            parts = self._load_checkpoint(slot, parts)
        slot.parts.truncate(parts)
        self._checkpoints.truncate(slot.session, parts)

    def _load_checkpoint(self, slot: Slot, max_parts: int) -> int:
        """Load the last checkpoint of a slot; without one, empty it. Return the parts it has."""
        checkpoint = self._checkpoints.find(slot.session, max_parts)
        if (
            checkpoint is not None
            and self._context.load_state(slot.sequence, checkpoint.state, recurrent_only=True)
            and self._context.truncate(slot.sequence, slot.parts.position(checkpoint.parts))
        ):
            return checkpoint.parts
        self._context.clear(slot.sequence)
        return 0
