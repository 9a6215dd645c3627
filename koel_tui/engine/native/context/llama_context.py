"""The llama.cpp context: the KV cache of all slots, and decoding into it."""

import ctypes
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp

from koel_tui.engine.cpu_count import usable_cores
from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.context.host_buffer import host_buffer
from koel_tui.engine.native.context.rates import Rate
from koel_tui.engine.native.context.sequence_state import (
    SequenceState,
    StateLayout,
    find_layout,
    tail_bytes,
)
from koel_tui.engine.native.context.token_batch import Chunk, TokenBatch
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model
from koel_tui.engine.types import CONTEXT_STEP, ModelSpec

KV_TYPES = {"f16": (llama_cpp.GGML_TYPE_F16, 2.0), "q8_0": (llama_cpp.GGML_TYPE_Q8_0, 34 / 32)}
"""The GGML type and the bytes per value, by the names of `ModelSpec.kv_type`."""

_MAX_TOKENS = 2**31 - 1
_PARTIAL = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
_ABORTED = 2
_CACHE_FULL = 1
_ASSUMED_PREFILL_RATE = 1000.0
"""Tokens per second, until the first prompt is measured."""
_ASSUMED_COPY_RATE = 1e9
"""Bytes per second, until the first copy is measured."""
_MIN_MEASURED_TOKENS = 32
"""The smallest batch that is measured; smaller ones take longer per token than a prompt."""


class DecodeAborted(Exception):  # noqa: N818 - not an error: the caller requested it
    """Decoding was aborted; the cache holds an unknown part of the batch."""


@dataclass(frozen=True, slots=True)
class NativeContext:
    """The native objects of a context with `slots` sequences. Close it before its model."""

    slots: int
    handle: Any
    memory: Any
    batch: TokenBatch
    batch_tokens: int
    context_tokens: int
    layout: StateLayout

    def close(self) -> None:
        """Free everything."""
        llama_cpp.llama_free(self.handle)


class Context:
    """One llama.cpp context with `slots` sequences of `context_tokens` tokens each.

    `create` returns another native context, for example with more sequences; `adopt` replaces the
    current one by it. `revision` counts the replacements: after each, all that was set in the
    native context must be set again.

    Use it from the owner thread only, except `abort`, which any thread may set.
    """

    def __init__(
        self, model: Model, spec: ModelSpec, log: NativeLog, slots: int, context_tokens: int
    ) -> None:
        """Create the context. Raises `ModelLoadError`."""
        self._model, self._spec, self._log = model, spec, log
        self._requested_tokens = context_tokens
        # More threads than cores make decoding several times slower.
        self._threads = spec.threads or usable_cores()
        self.is_recurrent = model.is_recurrent
        is_hybrid = model.is_hybrid
        # A model that is only recurrent has no streams in its states.
        self._is_hybrid = None if self.is_recurrent and not is_hybrid else is_hybrid
        self.abort = False
        # llama.cpp stores only the pointer, so the callback must live as long as the context.
        self._abort_callback = llama_cpp.ggml_abort_callback(lambda _data: self.abort)
        self._is_abortable = False
        self.revision = 0
        self.prefill_rate = Rate(_ASSUMED_PREFILL_RATE)
        self.copy_rate = Rate(_ASSUMED_COPY_RATE)
        self._native: NativeContext | None = None
        self._native = self.create(slots)
        self.context_tokens = self._native.context_tokens

    def create(self, slots: int) -> NativeContext:
        """Return another native context with the same settings. Raises `ModelLoadError`."""
        context_tokens = self._requested_tokens
        if slots * context_tokens > _MAX_TOKENS:
            raise ModelLoadError(
                f"A context of {slots} x {context_tokens} tokens is larger than the "
                f"{_MAX_TOKENS:,} that llama.cpp can count. "
                "Use a smaller context (--context-tokens)."
            )
        params = llama_cpp.llama_context_default_params()
        # llama.cpp rounds n_ctx up, but limits the batch by the number given here, so round it.
        params.n_ctx = slots * -(-context_tokens // CONTEXT_STEP) * CONTEXT_STEP
        params.n_seq_max = slots
        # llama.cpp aborts if a batch cannot hold a token of every sequence.
        batch_tokens = max(self._spec.batch_tokens, slots)
        params.n_batch = params.n_ubatch = batch_tokens
        params.kv_unified = False
        params.type_k = params.type_v = KV_TYPES[self._spec.kv_type][0]
        params.n_threads = params.n_threads_batch = self._threads
        self._log.clear_errors()
        handle = llama_cpp.llama_init_from_model(self._model.handle, params)
        if not handle:
            raise ModelLoadError(
                f"Cannot create a context of {slots} x {context_tokens} tokens for "
                f"{self._model.name}: {self._log.reason() or 'llama.cpp gave no reason'}. "
                "Use a smaller context (--context-tokens) or fewer contexts."
            )
        try:
            memory = llama_cpp.llama_get_memory(handle)
            tokens = int(llama_cpp.llama_n_ctx_seq(handle))
            layout = self._find_layout(handle, slots)
            batch_tokens = min(batch_tokens, llama_cpp.llama_n_batch(handle))
            batch = TokenBatch(batch_tokens, slots)
            return NativeContext(slots, handle, memory, batch, batch_tokens, tokens, layout)
        except BaseException:
            llama_cpp.llama_free(handle)
            raise

    def _find_layout(self, handle: Any, slots: int) -> StateLayout:
        """Return the layout of the states of a new context, whose sequences are empty."""
        if self._is_hybrid is None:
            return StateLayout.NONE
        size = llama_cpp.llama_state_seq_get_size_ext(handle, 0, 0)
        tail = llama_cpp.llama_state_seq_get_size_ext(handle, 0, _PARTIAL)
        return find_layout(size, tail, slots, is_hybrid=self._is_hybrid)

    def adopt(self, native: NativeContext) -> NativeContext:
        """Use another native context, whose sequences are empty; return the previous one."""
        before, self._native = self._open, native
        self._is_abortable = False
        self.revision += 1
        return before

    @property
    def slots(self) -> int:
        """The number of sequences."""
        return self._open.slots

    @property
    def batch_tokens(self) -> int:
        """The maximum number of tokens in a batch."""
        return self._open.batch_tokens

    @property
    def _open(self) -> NativeContext:
        assert self._native is not None  # noqa: S101 - nothing uses a closed context
        return self._native

    @property
    def handle(self) -> Any:
        """The native pointer, used for sampling."""
        return self._open.handle

    def decode(self, chunks: Sequence[Chunk]) -> list[int]:
        """Decode the chunks in one batch; return the first logits row of each, -1 for none.

        Raises `DecodeAborted` when `abort` was set meanwhile, `EngineError` on failure; the
        sequences may then hold part of their chunks.
        """
        batch = self._open.batch
        rows = batch.fill(chunks)
        self._set_abortable(any(len(chunk.tokens) > 1 for chunk in chunks))
        begin = time.perf_counter()
        result = llama_cpp.llama_decode(self.handle, batch.native)
        if result == _ABORTED and self.abort:
            raise DecodeAborted
        if result == _CACHE_FULL:
            raise EngineError("The KV cache has no room for the batch. Close a session and retry.")
        if result != 0:
            raise EngineError(
                f"llama_decode failed with code {result}. Send again; see the log for its reason."
            )
        # A GPU may still be computing. Sampling needs the result anyway, and after the wait the
        # time of the step can be measured.
        llama_cpp.llama_synchronize(self.handle)
        count = sum(len(chunk.tokens) for chunk in chunks)
        if count >= _MIN_MEASURED_TOKENS and not any(chunk.drafted for chunk in chunks):
            self.prefill_rate.add(count, time.perf_counter() - begin)
        return rows

    def set_threads(self, threads: int) -> None:
        """Set the number of CPU threads of the next batches."""
        if threads != self._threads:
            llama_cpp.llama_set_n_threads(self.handle, threads, threads)
            self._threads = threads

    def has_valid_logits(self, row: int) -> bool:
        """Return whether the logits in `row` of the last batch are numbers, as sampling needs.

        Damaged weights make all of them NaN, so only the first is checked.
        """
        logits = llama_cpp.llama_get_logits_ith(self.handle, row)
        return bool(logits) and not math.isnan(logits[0])

    def _set_abortable(self, abortable: bool) -> None:
        """Set or remove the callback that checks `abort` during decoding.

        llama.cpp calls it for every node of the graph. This is negligible for a prompt, but takes
        some 5% of the time of a single token, which needs no abort because it takes only
        milliseconds.
        """
        if abortable != self._is_abortable:
            callback = self._abort_callback if abortable else llama_cpp.ggml_abort_callback()
            llama_cpp.llama_set_abort_callback(self.handle, callback, None)
            self._is_abortable = abortable

    def can_truncate(self, sequence: int, position: int) -> bool:
        """Return whether the tokens of a sequence from a position on can be dropped exactly.

        A sliding-window cache may not have the tokens before its window (llama.cpp keeps them by
        default, but does not copy them), so a shorter prefix can be kept only while the cache still
        holds everything in the window of its next token. It says nothing about recurrent states.
        """
        window = self._model.sliding_window
        if not window or not position:
            return True
        oldest = int(llama_cpp.llama_memory_seq_pos_min(self._open.memory, sequence))
        return oldest <= max(0, position - window)

    def can_truncate_copy(self, positions: int) -> bool:
        """Return whether a copy of a sequence of this length can be truncated exactly.

        llama.cpp copies only the last window of a sliding-window cache.
        """
        window = self._model.sliding_window
        return not window or positions <= window

    def truncate(self, sequence: int, position: int) -> bool:
        """Drop the tokens of a sequence from a position on; return False if that cannot be exact.

        A recurrent state cannot be truncated at all; llama.cpp reports that.
        """
        if position == 0:
            return self.clear(sequence)
        if not self.can_truncate(sequence, position):
            return False
        return bool(llama_cpp.llama_memory_seq_rm(self._open.memory, sequence, position, -1))

    def clear(self, sequence: int) -> bool:
        """Empty a sequence."""
        return bool(llama_cpp.llama_memory_seq_rm(self._open.memory, sequence, -1, -1))

    def copy_state(self, sequence: int, *, recurrent_only: bool = False) -> SequenceState:
        """Return a copy of a sequence's state; only the tokens it holds take space.

        `recurrent_only` omits the KV cache of a hybrid model.
        """
        flags = _PARTIAL if recurrent_only else 0
        size = llama_cpp.llama_state_seq_get_size_ext(self.handle, sequence, flags)
        tail = 0
        if not recurrent_only and self._open.layout in (StateLayout.HYBRID, StateLayout.WINDOW):
            partial = llama_cpp.llama_state_seq_get_size_ext(self.handle, sequence, _PARTIAL)
            tail = tail_bytes(partial)
        begin = time.perf_counter()
        state = host_buffer(size)
        written = llama_cpp.llama_state_seq_get_data_ext(
            self.handle, (ctypes.c_uint8 * size).from_buffer(state), size, sequence, flags
        )
        if written != size:
            raise EngineError(f"llama.cpp copied {written} of {size} bytes of a context.")
        self.copy_rate.add(size, time.perf_counter() - begin)
        return SequenceState(state, tail)

    def load_state(
        self, sequence: int, state: SequenceState, *, recurrent_only: bool = False
    ) -> bool:
        """Load the result of `copy_state` into a sequence; on failure empty it and return False.

        The state may be from a context with another number of slots.
        """
        if not recurrent_only:
            self.clear(sequence)
        begin = time.perf_counter()
        if not recurrent_only:
            try:
                state = state.with_streams(self.slots, self._open.layout)
            except MemoryError:  # there is no room for the copy
                return False
        flags = _PARTIAL if recurrent_only else 0
        size = len(state)
        loaded = llama_cpp.llama_state_seq_set_data_ext(
            self.handle, (ctypes.c_uint8 * size).from_buffer(state.data), size, sequence, flags
        )
        if loaded != size:
            self.clear(sequence)
            return False
        self.copy_rate.add(size, time.perf_counter() - begin)
        return True

    def close(self) -> None:
        """Free the context; close it before its model."""
        if self._native is not None:
            native, self._native = self._native, None
            native.close()
