"""The reference: the minimal Textual program, which shows messages in the simplest way.

`python -m tests.benchmarks.ui.reference WAY TOKENS_PER_S MESSAGES`; WAY is the way to show a token:
`update` renders the whole answer for each token, `stream` uses Textual's Markdown stream, `none`
writes nothing. The key f2 mounts all MESSAGES at once.
"""

import asyncio
import sys

from textual.containers import VerticalScroll
from textual.widgets import Markdown, TextArea

from tests.benchmarks.minimal_chat import MinimalChat
from tests.benchmarks.ui.answers import history, tokens


class Reference(MinimalChat):
    """The minimal program, which writes an endless answer."""

    BINDINGS = [("f2", "fill", "Fill")]  # noqa: RUF012 - as Textual's own examples have it

    def __init__(self, way: str, tokens_per_s: float, messages: int) -> None:
        super().__init__()
        self._way = way
        self._gap = 1 / tokens_per_s
        self._messages = messages

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(TextArea).focus()
        self.query_one(VerticalScroll).anchor()
        if self._way != "none":
            self.run_worker(self._write())

    async def action_fill(self) -> None:
        """Mount the messages."""
        await self.query_one(VerticalScroll).mount_all(
            Markdown(str(message.content)) for message in history(self._messages).messages
        )

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        answer = Markdown()
        await self.query_one(VerticalScroll).mount(answer)
        stream = Markdown.get_stream(answer)
        due, text = loop.time(), ""
        for token in tokens():
            due += self._gap
            await asyncio.sleep(max(0.0, due - loop.time()))
            text += token
            if self._way == "update":
                await answer.update(text)
            else:
                await stream.write(token)


if __name__ == "__main__":
    Reference(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])).run()
