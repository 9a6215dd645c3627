"""The state of a sequence, copied out of a context, for a context with another number of slots.

llama.cpp writes the number of streams of its KV cache into a state, which is the number of slots,
and for each stream the number of its cells: that of the sequence, and zeros. It loads a state only
into as many streams, although the data of the sequence are the same. See `state_write` in its
`llama-kv-cache.cpp`.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from koel_tui.engine.native.context.host_buffer import Buffer, host_buffer

_HEADER_BYTES = 8
"""The bytes before the data: a magic number and the number of the sequence."""
_WORD_BYTES = 4
_MAX_STREAMS = 256


class StateLayout(Enum):
    """The parts of a state that have streams."""

    NONE = "none"
    """The memory of a recurrent model; or a layout that is not known, which only fits a context
    with as many slots."""
    ONE = "one"
    HYBRID = "hybrid"
    """A part with streams, then the state of the recurrent layers."""
    WINDOW = "window"
    """Two parts with streams; the second one is the cache of the layers with a sliding window."""


def find_layout(size: int, tail: int, streams: int, *, is_hybrid: bool) -> StateLayout:
    """Return the layout from the size of the state of an empty sequence, and that of its tail.

    The tail is what llama.cpp writes if only a part of the state is requested.
    """
    part = _WORD_BYTES * (1 + streams)
    if is_hybrid:
        return StateLayout.HYBRID if size - tail == part else StateLayout.NONE
    if size == tail == _HEADER_BYTES + part:
        return StateLayout.ONE
    if size - tail == part and tail == _HEADER_BYTES + part:
        return StateLayout.WINDOW
    return StateLayout.NONE


@dataclass(frozen=True, slots=True)
class SequenceState:
    """The bytes of a sequence, the last `tail` of which are the second part, if there is one."""

    data: Buffer
    tail: int = 0

    def __len__(self) -> int:
        return len(self.data)

    def with_streams(self, streams: int, layout: StateLayout) -> "SequenceState":
        """Return this state for a context with a number of streams.

        A state of another layout is returned as it is; llama.cpp refuses it.
        """
        data = memoryview(self.data)
        end = len(data) - self.tail
        if layout is StateLayout.NONE or _word(data, _HEADER_BYTES) == streams:
            return self
        try:
            first = _with_streams(data[_HEADER_BYTES:end], streams)
            second: list[memoryview | bytes] = [data[end:]] if self.tail else []
            if layout is StateLayout.WINDOW:
                second = _with_streams(data[end:], streams)
        except (ValueError, struct.error):
            return self
        pieces = [data[:_HEADER_BYTES], *first, *second]
        copied = host_buffer(sum(map(len, pieces)))
        for piece in pieces:
            copied.write(piece)
        return SequenceState(copied, sum(map(len, second)))


def tail_bytes(partial_bytes: int) -> int:
    """Return the bytes of the second part of a state, from those of the partial state."""
    return partial_bytes - _HEADER_BYTES


def _word(data: memoryview, offset: int) -> int:
    return int(struct.unpack_from("=I", data, offset)[0])


def _with_streams(part: memoryview, streams: int) -> list[memoryview | bytes]:
    """Return the pieces of a part for a number of streams. Raises ValueError or struct.error."""
    count = _word(part, 0)
    if not 0 < count <= _MAX_STREAMS:
        raise ValueError(f"{count} streams")
    cells = struct.unpack_from(f"={count}I", part, _WORD_BYTES)
    stream = next((index for index, number in enumerate(cells) if number), 0)
    begin, end = _WORD_BYTES * (1 + stream), len(part) - _WORD_BYTES * (count - 1 - stream)
    if begin >= end or any(part[end:]):
        raise ValueError("not a part with streams")
    return [struct.pack("=I", streams), part[begin:end], bytes(_WORD_BYTES * (streams - 1))]
