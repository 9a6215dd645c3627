"""The KV cache of all sessions: slots, parked contexts and shared prefixes."""

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from koel_tui.engine.native.context.checkpoints import Checkpoint, Checkpoints
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.context.parked_contexts import ParkedContext, ParkedContexts
from koel_tui.engine.native.context.sequence_gaps import SequenceGaps
from koel_tui.engine.native.context.slots import Slot, SlotTable, common_prefix
from koel_tui.engine.types import SessionMemory

_log = logging.getLogger(__name__)
_MIN_COPY_TOKENS = 32
"""Minimum number of tokens that a copied prefix of another session's slot must save."""


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
        slots: int,
        bytes_per_token: int,
        parked_limit_bytes: int,
        state_bytes: int = 0,
    ) -> None:
        """`state_bytes` is the recurrent state of a slot, in addition to its tokens."""
        self._context = context
        self._slots = SlotTable(slots)
        self._parked = ParkedContexts(parked_limit_bytes)
        self._checkpoints = Checkpoints(parked_limit_bytes // 2)
        self._bytes_per_token = bytes_per_token
        self._state_bytes = state_bytes
        self._gaps = SequenceGaps(context, self._slots, bytes_per_token)

    def prepare(
        self, session: int, lora: Path | None, prompt: list[int], busy: Collection[int]
    ) -> Slot:
        """Return the session's slot, holding the longest known prefix of the prompt.

        It never holds the whole prompt, because the last token is decoded again for its logits.
        Raises `LookupError` when every slot belongs to a session in `busy`.
        """
        slot = self._slots.get(session) or self._assign_slot(session, lora, busy)
        donor = self._find_donor(slot, prompt)
        if donor is not None:
            self._copy_into(slot, donor)
        self._truncate(slot, min(common_prefix(slot.tokens, prompt), len(prompt) - 1))
        return slot

    def add_checkpoint(self, slot: Slot) -> None:
        """Save the state of a recurrent model, so that the slot can return to its tokens so far."""
        if slot.session is None:
            return
        with _log_errors("saving a checkpoint"), suppress(MemoryError):
            state = self._context.copy_state(slot.sequence, recurrent_only=True)
            self._checkpoints.add(slot.session, Checkpoint(len(slot.tokens), state))

    def close_gaps(self, decoded: Sequence[Slot], seconds: float) -> None:
        """Make the sequences of slots that are decoded together consecutive, if that pays.

        `seconds` is the time that their last step took. Call it after each step.
        """
        with _log_errors("moving a sequence"), suppress(MemoryError):
            self._gaps.record(decoded, seconds)

    def restore(self, slots: Iterable[Slot]) -> None:
        """Make the context match the slots after a batch that may be partly decoded."""
        for slot in slots:
            with _log_errors("dropping the tail of a sequence"):
                self._return_to(slot, len(slot.tokens))
                continue
            self._clear(slot)

    def add_parked(self, session: int, parked: ParkedContext) -> None:
        """Store a context from outside as the parked context of a session."""
        self._parked.park(session, parked)
        if parked.checkpoint is not None:
            self._checkpoints.add(session, parked.checkpoint)

    def copy(self, session: int) -> ParkedContext | None:
        """Return the session's context, copied if it is in a slot; None if it holds nothing."""
        slot = next((slot for slot in self._slots if slot.session == session), None)
        context = self._parked.get(session)
        if slot is not None:
            context = self._copy(slot) if slot.tokens else None
        if context is None:
            return None
        checkpoint = self._checkpoints.find(session, len(context.tokens))
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
        state = self._state_bytes if slot.tokens else 0
        return len(slot.tokens) * self._bytes_per_token + state

    def _assign_slot(self, session: int, lora: Path | None, busy: Collection[int]) -> Slot:
        slot = self._slots.acquire(busy)
        if slot.session is not None and slot.tokens:
            # A session that cannot be parked is prefilled again at its next turn.
            with _log_errors("parking a session"), suppress(MemoryError):
                self._parked.park(slot.session, self._copy(slot))
        # Reset the slot before native calls: if one fails, the slot claims no stale tokens.
        slot.tokens.clear()
        slot.session, slot.lora = session, lora
        parked = self._parked.pop(session)
        if parked is not None and self._context.load_state(slot.sequence, parked.state):
            slot.tokens[:] = parked.tokens
        else:
            self._truncate(slot, 0)
        return slot

    def _find_donor(self, slot: Slot, prompt: list[int]) -> Slot | None:
        """Return the slot with the longest known prefix; None if a copy would save too little."""
        others = (each for each in self._slots if each is not slot and each.lora == slot.lora)
        candidates = [
            (self._reusable_tokens(each, prompt), -len(each.tokens), each) for each in others
        ]
        best = max(candidates, key=lambda each: each[:2], default=None)
        if best is None or best[0] - self._reusable_tokens(slot, prompt) < _MIN_COPY_TOKENS:
            return None
        return best[2]

    def _reusable_tokens(self, slot: Slot, prompt: list[int]) -> int:
        """Return the length of the longest prefix of a prompt that a slot can return to."""
        length = min(common_prefix(slot.tokens, prompt), len(prompt) - 1)
        if not self._context.is_recurrent or length == len(slot.tokens):
            return length
        checkpoint = self._checkpoints.find(slot.session, length)
        return 0 if checkpoint is None else checkpoint.tokens

    def _copy_into(self, slot: Slot, donor: Slot) -> None:
        """Copy the donor's context to a slot; on MemoryError the slot is unchanged."""
        try:
            state = self._context.copy_state(donor.sequence)
        except MemoryError:
            return
        slot.tokens.clear()  # a copy that fails leaves the sequence empty
        if self._context.load_state(slot.sequence, state):
            slot.tokens[:] = donor.tokens
            if slot.session is not None and donor.session is not None:
                self._checkpoints.copy(donor.session, slot.session)

    def _clear(self, slot: Slot) -> None:
        """Clear a slot; if its sequence cannot be cleared now, its next use clears it."""
        slot.tokens.clear()
        self._checkpoints.truncate(slot.session, 0)
        with _log_errors("clearing a sequence"):
            self._context.clear(slot.sequence)

    def _copy(self, slot: Slot) -> ParkedContext:
        return ParkedContext(list(slot.tokens), self._context.copy_state(slot.sequence))

    def _truncate(self, slot: Slot, tokens: int) -> None:
        if not tokens or tokens != len(slot.tokens):
            self._return_to(slot, tokens)

    def _return_to(self, slot: Slot, tokens: int) -> None:
        """Drop all but the first `tokens` of a slot, or more if its memory cannot do that."""
        if not (tokens and self._context.truncate(slot.sequence, tokens)):
            tokens = self._load_checkpoint(slot, tokens)
        del slot.tokens[tokens:]
        self._checkpoints.truncate(slot.session, tokens)

    def _load_checkpoint(self, slot: Slot, max_tokens: int) -> int:
        """Load the last checkpoint of a slot; without one, empty it. Return the tokens it has."""
        checkpoint = self._checkpoints.find(slot.session, max_tokens)
        if (
            checkpoint is not None
            and self._context.load_state(slot.sequence, checkpoint.state, recurrent_only=True)
            and self._context.truncate(slot.sequence, checkpoint.tokens)
        ):
            return checkpoint.tokens
        self._context.clear(slot.sequence)
        return 0
