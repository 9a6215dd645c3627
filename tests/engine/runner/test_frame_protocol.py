"""Frames received in pieces of any size, and connections that end or send invalid data."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.runner import frame_protocol
from koel_tui.engine.runner.frame_protocol import FrameProtocol
from koel_tui.engine.wire_messages import HEADER


def frame(body: bytes) -> bytes:
    return HEADER.pack(len(body)) + body


async def feed(protocol: FrameProtocol, data: bytes, pieces: list[int]) -> None:
    """Feed data to a protocol like a transport, in pieces of these sizes."""
    while data:
        free = protocol.get_buffer(-1)
        assert len(free), "there is no room"
        count = min(pieces.pop() if pieces else len(data), len(data), len(free))
        free[:count] = data[:count]
        protocol.buffer_updated(count)
        data = data[count:]


@given(
    bodies=st.lists(
        st.one_of(st.binary(max_size=40), st.integers(65_000, 140_000).map(bytes)), max_size=6
    ),
    pieces=st.lists(st.integers(1, 70_000), max_size=20),
)
def test_every_frame_is_received_once_and_whole(bodies: list[bytes], pieces: list[int]) -> None:
    async def run() -> None:
        received: list[bytes] = []
        protocol = FrameProtocol(received.append)
        await feed(protocol, b"".join(map(frame, bodies)), pieces)
        assert received == bodies
        assert len(protocol.get_buffer(-1)) == frame_protocol._BUFFER_BYTES, "memory is kept"

    asyncio.run(run())


async def connected(protocol: FrameProtocol) -> socket.socket:
    ours, theirs = socket.socketpair()
    await asyncio.get_running_loop().create_connection(lambda: protocol, sock=ours)
    return theirs


async def test_frames_before_the_end_of_a_connection_are_received() -> None:
    received: list[bytes] = []
    protocol = FrameProtocol(received.append)
    with await connected(protocol) as theirs:
        theirs.sendall(frame(b"one") + frame(b"two") + frame(b"three")[:-1])
    await asyncio.wait_for(protocol.wait_ended(), 10)
    assert received == [b"one", b"two"]


async def test_a_frame_that_is_too_long_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame_protocol, "MAX_FRAME_BYTES", 10)
    received: list[bytes] = []
    protocol = FrameProtocol(received.append)
    with await connected(protocol) as theirs:
        theirs.sendall(frame(b"x" * 10) + frame(b"y" * 11) + frame(b"z"))
        with pytest.raises(ValueError, match="a frame of 11 bytes"):
            await asyncio.wait_for(protocol.wait_ended(), 10)
        assert theirs.recv(1) == b""
    assert received == [b"x" * 10]


async def test_an_error_of_the_receiver_ends_the_connection() -> None:
    received: list[bytes] = []

    def receive(body: bytes) -> None:
        received.append(body)
        if body == b"bad":
            raise ValueError("not an event")

    protocol = FrameProtocol(receive)
    with await connected(protocol) as theirs:
        theirs.sendall(frame(b"good") + frame(b"bad") + frame(b"late"))
        with pytest.raises(ValueError, match="not an event"):
            await asyncio.wait_for(protocol.wait_ended(), 10)
    assert received == [b"good", b"bad"]
