"""A batch of tokens in the memory that llama.cpp reads."""

import ctypes
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llama_cpp

from koel_tui.engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive tokens of one sequence.

    The last `drafted` tokens are a draft. `wants_logits` requests the logits of the last token, and
    of each token before one of the draft.
    """

    sequence: int
    position: int
    tokens: Sequence[int]
    wants_logits: bool
    drafted: int = 0

    @property
    def draft(self) -> list[int]:
        """The tokens of the draft."""
        return list(self.tokens[len(self.tokens) - self.drafted :])


class TokenBatch:
    """A `llama_batch` for `capacity` tokens of the sequences 0 to `sequences` - 1.

    It is filled by copying arrays: assigning each field of each token would take longer than a GPU
    needs to decode them.
    """

    def __init__(self, capacity: int, sequences: int) -> None:
        self._capacity = capacity
        self._tokens = (llama_cpp.llama_token * capacity)()
        self._positions = (llama_cpp.llama_pos * capacity)()
        self._id_counts = (ctypes.c_int32 * capacity)(*[1] * capacity)
        self._ids = (llama_cpp.llama_seq_id * sequences)(*range(sequences))
        self._id_pointers = (ctypes.POINTER(llama_cpp.llama_seq_id) * capacity)()
        self._logits = (ctypes.c_int8 * capacity)()
        first = ctypes.addressof(self._ids)
        size = ctypes.sizeof(llama_cpp.llama_seq_id)
        self._pointers = [
            bytes(ctypes.c_void_p(first + sequence * size)) for sequence in range(sequences)
        ]
        structure: Any = llama_cpp.llama_batch
        self.native = structure()  # keeps the arrays alive
        self.native.token = self._tokens
        self.native.pos = self._positions
        self.native.n_seq_id = self._id_counts
        self.native.seq_id = self._id_pointers
        self.native.logits = self._logits

    def fill(self, chunks: Sequence[Chunk]) -> list[int]:
        """Replace the tokens by those of `chunks`.

        Returns the first logits row of each chunk, -1 if it wants none. Raises `EngineError` if
        there are too many tokens.
        """
        total = sum(len(chunk.tokens) for chunk in chunks)
        if total > self._capacity:
            raise EngineError(f"A batch has {total} tokens; at most {self._capacity} are possible.")
        ctypes.memset(self._logits, 0, total)
        begin, rows = 0, []
        for chunk in chunks:
            count = len(chunk.tokens)
            end = begin + count
            positions = range(chunk.position, chunk.position + count)
            _copy(self._tokens, begin, array("i", chunk.tokens).tobytes())
            _copy(self._positions, begin, array("i", positions).tobytes())
            _copy(self._id_pointers, begin, self._pointers[chunk.sequence] * count)
            row = end - 1 - chunk.drafted
            for index in range(row, end) if chunk.wants_logits else ():
                self._logits[index] = 1
            rows.append(row if chunk.wants_logits else -1)
            begin = end
        self.native.n_tokens = total
        return rows


def _copy(target: "ctypes.Array[Any]", index: int, data: bytes) -> None:
    """Copy the bytes of items into an array, from an index on."""
    offset = index * ctypes.sizeof(target._type_)
    ctypes.memmove(ctypes.addressof(target) + offset, data, len(data))
