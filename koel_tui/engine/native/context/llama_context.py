"""The llama.cpp context: the KV cache of all slots, and decoding into it."""

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import llama_cpp

from koel_tui.engine.cpu_count import usable_cores
from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.context.host_buffer import Buffer, host_buffer
from koel_tui.engine.native.context.token_batch import Chunk, TokenBatch
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model
from koel_tui.engine.types import CONTEXT_STEP, ModelSpec

KV_TYPES = {"f16": (llama_cpp.GGML_TYPE_F16, 2.0), "q8_0": (llama_cpp.GGML_TYPE_Q8_0, 34 / 32)}
"""The GGML type and the bytes per value, by the names of `ModelSpec.kv_type`."""

_MAX_TOKENS = 2**31 - 1
_RECURRENT_ONLY = llama_cpp.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY
_ABORTED = 2
_CACHE_FULL = 1


class DecodeAborted(Exception):  # noqa: N818 - not an error: the caller requested it
    """Decoding was aborted; the cache holds an unknown part of the batch."""


class Context:
    """One llama.cpp context with `slots` sequences of `context_tokens` tokens each.

    Use it from the owner thread only, except `abort`, which any thread may set.
    """

    def __init__(
        self, model: Model, spec: ModelSpec, log: NativeLog, slots: int, context_tokens: int
    ):
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
        self.batch_tokens = max(spec.batch_tokens, slots)
        params.n_batch = params.n_ubatch = self.batch_tokens
        params.kv_unified = False
        params.type_k = params.type_v = KV_TYPES[spec.kv_type][0]
        # More threads than cores make decoding several times slower.
        self._threads = spec.threads or usable_cores()
        params.n_threads = params.n_threads_batch = self._threads
        self.abort = False
        # llama.cpp stores only the pointer, so the callback must live as long as the context.
        self._abort_callback = llama_cpp.ggml_abort_callback(lambda _data: self.abort)
        self._is_abortable = False
        log.clear_errors()
        self._context = llama_cpp.llama_init_from_model(model.handle, params)
        if not self._context:
            raise ModelLoadError(
                f"Cannot create a context of {slots} x {context_tokens} tokens for {model.name}: "
                f"{log.reason() or 'llama.cpp gave no reason'}. "
                "Use a smaller context (--context-tokens) or fewer contexts."
            )
        self._model = model
        try:
            self.is_recurrent = model.is_recurrent
            self._memory = llama_cpp.llama_get_memory(self._context)
            self.context_tokens = int(llama_cpp.llama_n_ctx_seq(self._context))
            self.batch_tokens = min(self.batch_tokens, llama_cpp.llama_n_batch(self._context))
            self._batch = TokenBatch(self.batch_tokens, slots)
        except BaseException:
            self.close()
            raise

    @property
    def handle(self) -> Any:
        """The native pointer, used for sampling."""
        return self._context

    def decode(self, chunks: Sequence[Chunk]) -> list[int]:
        """Decode the chunks in one batch; return the logits row of each, -1 if it wants none.

        Raises `DecodeAborted` when `abort` was set meanwhile, `EngineError` on failure; the
        sequences may then hold part of their chunks.
        """
        rows = self._batch.fill(chunks)
        self._set_abortable(any(len(chunk.tokens) > 1 for chunk in chunks))
        result = llama_cpp.llama_decode(self._context, self._batch.native)
        if result == _ABORTED and self.abort:
            raise DecodeAborted
        if result == _CACHE_FULL:
            raise EngineError("The KV cache has no room for the batch. Close a session and retry.")
        if result != 0:
            raise EngineError(
                f"llama_decode failed with code {result}. Send again; see the log for its reason."
            )
        # A GPU may still compute. Sampling needs the result anyway, and the time of a step is then
        # known here.
        llama_cpp.llama_synchronize(self._context)
        return rows

    def set_threads(self, threads: int) -> None:
        """Set the number of CPU threads of the next batches."""
        if threads != self._threads:
            llama_cpp.llama_set_n_threads(self._context, threads, threads)
            self._threads = threads

    def has_valid_logits(self, row: int) -> bool:
        """Return whether the logits in `row` of the last batch are numbers, as sampling needs.

        Damaged weights make all of them NaN, so only the first is checked.
        """
        logits = llama_cpp.llama_get_logits_ith(self._context, row)
        return bool(logits) and not math.isnan(logits[0])

    def _set_abortable(self, abortable: bool) -> None:
        """Set or remove the callback that checks `abort` during decoding.

        llama.cpp calls it for every node of the graph. This is negligible for a prompt, but takes
        some 5% of the time of a single token, which needs no abort because it takes only
        milliseconds.
        """
        if abortable != self._is_abortable:
            callback = self._abort_callback if abortable else llama_cpp.ggml_abort_callback()
            llama_cpp.llama_set_abort_callback(self._context, callback, None)
            self._is_abortable = abortable

    def truncate(self, sequence: int, tokens: int) -> bool:
        """Drop all but the first `tokens` of a sequence; return False if that cannot be exact.

        A sliding-window cache may have dropped the tokens before its window (llama.cpp keeps them
        by default), so a shorter prefix can be kept only while the cache still holds everything in
        the window of its next token. A recurrent state cannot be truncated at all; llama.cpp
        reports that.
        """
        window = self._model.sliding_window
        if tokens == 0:
            return self.clear(sequence)
        if window:
            oldest = llama_cpp.llama_memory_seq_pos_min(self._memory, sequence)
            if oldest > max(0, tokens - window):
                return False
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, sequence, tokens, -1))

    def clear(self, sequence: int) -> bool:
        """Empty a sequence."""
        return bool(llama_cpp.llama_memory_seq_rm(self._memory, sequence, -1, -1))

    def copy_state(self, sequence: int, *, recurrent_only: bool = False) -> Buffer:
        """Return a copy of a sequence's state; only the tokens it holds take space.

        `recurrent_only` leaves the KV cache of a hybrid model out.
        """
        flags = _RECURRENT_ONLY if recurrent_only else 0
        size = llama_cpp.llama_state_seq_get_size_ext(self._context, sequence, flags)
        state = host_buffer(size)
        written = llama_cpp.llama_state_seq_get_data_ext(
            self._context, (ctypes.c_uint8 * size).from_buffer(state), size, sequence, flags
        )
        if written != size:
            raise EngineError(f"llama.cpp copied {written} of {size} bytes of a context.")
        return state

    def load_state(self, sequence: int, state: Buffer, *, recurrent_only: bool = False) -> bool:
        """Load a copy of `copy_state` into a sequence; on failure empty it and return False."""
        if not recurrent_only:
            self.clear(sequence)
        flags = _RECURRENT_ONLY if recurrent_only else 0
        size = len(state)
        loaded = llama_cpp.llama_state_seq_set_data_ext(
            self._context, (ctypes.c_uint8 * size).from_buffer(state), size, sequence, flags
        )
        if loaded != size:
            self.clear(sequence)
        return bool(loaded == size)

    def close(self) -> None:
        """Free the context; close it before its model."""
        if self._context:
            llama_cpp.llama_free(self._context)
            self._context = None
