"""The reading end of the socket of the runner: frames, each a length and a body."""

import asyncio
from collections.abc import Callable

from koel_tui.engine.wire_messages import HEADER, MAX_FRAME_BYTES

_BUFFER_BYTES = 1 << 16
"""The size of the buffer, which grows for a larger frame."""


class FrameProtocol(asyncio.BufferedProtocol):
    """Calls `receive` with the body of each frame.

    It reads into one buffer: the streams of asyncio allocate a large one for each token, and wake
    the event loop three times.
    """

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive
        self._buffer = bytearray(_BUFFER_BYTES)
        self._filled = 0
        self._transport: asyncio.Transport | None = None
        self._error: Exception | None = None
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def wait_ended(self) -> None:
        """Wait for the end of the connection.

        Raises ValueError for a frame that is too long, and what `receive` raises. No frame is read
        after that.
        """
        await asyncio.shield(self._ended)
        if self._error is not None:
            raise self._error

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the free part of the buffer; `sizehint` is of no use."""
        return memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Read the frames that are complete with the new bytes."""
        self._filled += nbytes
        if self._error is not None:
            self._filled = 0
            return
        try:
            self._read_frames()
        except Exception as error:
            self._error = error
            self._filled = 0
            if self._transport is not None:
                self._transport.abort()  # what is still to be sent is not waited for

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the end to `wait_ended`."""
        self._ended.set_result(None)

    def _read_frames(self) -> None:
        begin, needed = 0, 0
        while self._filled - begin >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer, begin)
            if length > MAX_FRAME_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            needed = HEADER.size + length
            if self._filled - begin < needed:
                break
            body = bytes(memoryview(self._buffer)[begin + HEADER.size : begin + needed])
            begin, needed = begin + needed, 0
            self._receive(body)
        self._keep(begin, needed)

    def _keep(self, begin: int, needed: int) -> None:
        """Move the bytes from `begin` on to the front of a buffer with room for `needed` bytes."""
        size = max(needed, _BUFFER_BYTES)
        if size == len(self._buffer) and not begin:
            return
        rest = bytes(memoryview(self._buffer)[begin : self._filled])
        if size != len(self._buffer):
            # asyncio still has a view of the old buffer, so that one cannot change its size.
            self._buffer = bytearray(size)
        self._buffer[: len(rest)] = rest
        self._filled = len(rest)
