"""Tests of the notices below the messages of a transcript."""

from koel_tui.storage import MemoryStorage
from koel_tui.ui.conversation.transcript_column import TranscriptColumn
from tests.ui.window import messages, opened


async def test_a_notice_that_appears_alone_does_not_hide_the_messages() -> None:
    """Nothing but the notice asks for a layout, so its request must not be dropped."""
    storage = MemoryStorage()
    await storage.save("old", messages(2, "kept {n}"))
    async with opened(storage=storage, thread="old") as window:
        await window.reads("kept 1")
        await window.connected()
        await window.pilot.pause(0.3)  # completes the layouts that the start has requested
        column = window.app.screen.query_one("#messages", TranscriptColumn)
        assert column.conversation is not None
        assert column.transcript is not None
        for text in ("The disk is full.", "", "The disk is slow."):
            column.conversation.problem = text
            column.transcript.request_repaint()
            await (window.reads(f"✗ {text}") if text else window.misses("✗"))
            assert "kept 0" in window.view
            assert "kept 1" in window.view
