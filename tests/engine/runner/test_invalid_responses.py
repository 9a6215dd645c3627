"""A runner process that sends invalid frames is ended, and the waiting callers get an error."""

import asyncio
import sys
from pathlib import Path

import psutil
import pytest

from koel_tui.engine.runner import process_transport
from koel_tui.engine.wire_messages import HEADER, Crashed, Event
from tests.hostile_summary import Tally

LIAR = """#!{python}
import os, signal, sys
os.write(int(sys.argv[-2]), {lie!r})
signal.pause()
"""
LIES = {
    "longer than any": b"\xff" * 4,
    "no event": HEADER.pack(2) + b"{}",
    "no text": HEADER.pack(2) + b"\xff\xff",
    "deep": HEADER.pack(200_000) + b"[" * 200_000,
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_runner_that_sends_invalid_responses_is_killed(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    liar = tmp_path / "liar"
    liar.write_text(LIAR.format(python=sys.executable, lie=LIES[lie]))
    liar.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(liar))
    events: asyncio.Queue[Event] = asyncio.Queue()
    link = process_transport.ProcessTransport(tmp_path / "log")
    await link.open(events.put_nowait)
    pid = link.pid
    assert pid is not None
    try:
        event = await asyncio.wait_for(events.get(), 20)
        assert isinstance(event, Crashed) and "SIGKILL" in event.message
        assert not psutil.pid_exists(pid)
    finally:
        await link.close()
    tally("engine failure", tried=1)
