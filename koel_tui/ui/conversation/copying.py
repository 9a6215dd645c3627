"""Copies answers and their code blocks to the clipboard."""

import asyncio
import os

from textual.app import App

from koel_tui.system.clipboard import Destination, copy_to_clipboard
from koel_tui.text import repair, safe_text
from koel_tui.ui import internals
from koel_tui.ui.conversation.code_blocks import NO_CODE, code_blocks
from koel_tui.ui.keys.hints import key_of

_MESSAGES = {
    Destination.DESKTOP: "Copied {what} with {program}.",
    Destination.TMUX_AND_TERMINAL: "Copied {what} to tmux, which sent it to the terminal (OSC 52).",
    Destination.TMUX: (
        "Copied {what} to tmux only: its prefix and ] paste it. For the clipboard, put "
        "this line into tmux.conf: set -as terminal-features ',*:clipboard'"
    ),
    Destination.TERMINAL: (
        "Sent {what} to the terminal (OSC 52). If you cannot paste it, run: koel-chat doctor"
    ),
    Destination.NOWHERE: (
        "This terminal has no clipboard. ctrl+v pastes {what} in koel-chat only."
    ),
}
_LARGE = "Some terminals ignore text of more than 75 kB. {key} can export the thread to a file."


class Copier:
    """Copies text to the clipboard and reports the result."""

    def __init__(self, app: App[int]) -> None:
        self._app = app
        self._answer = ""
        self._block_index = 0
        self._lock = asyncio.Lock()

    def set_internal_clipboard(self, text: str) -> None:
        """Set the app's own clipboard immediately."""
        internals.set_internal_clipboard(self._app, _sanitize(text))

    async def copy_text(self, text: str, what: str = "the selection") -> None:
        """Copy `text`, sanitized because it may be sent through the terminal.

        Does not wait for the programs that copy, because the keys would wait too.
        """
        self.set_internal_clipboard(text)
        self._app.run_worker(self._copy(_sanitize(text), what))

    async def _copy(self, text: str, what: str) -> None:
        async with self._lock:  # of two copies the newer one must end last
            copied = await copy_to_clipboard(
                text,
                os.environ,
                lambda sequence: internals.write_to_terminal(self._app, sequence),
            )
        message = _MESSAGES[copied.destination].format(what=what, program=copied.program)
        if copied.is_large:
            message += f" {_LARGE.format(key=key_of(self._app, 'tab.open'))}"
        self._app.notify(message)

    async def copy_answer(self, answer: str) -> None:
        """Copy an answer; an empty string means that there is none."""
        if answer:
            await self.copy_text(answer, "the answer")
        else:
            self._app.notify("There is no answer to copy yet.")

    async def copy_next_code(self, answer: str) -> None:
        """Copy the last code block of an answer; each further call copies the block before."""
        blocks = code_blocks(answer)
        if not blocks:
            self._app.notify(NO_CODE)
            return
        self._block_index = self._block_index - 1 if answer == self._answer else -1
        self._answer = answer
        index = self._block_index % len(blocks)
        block = blocks[index]
        await self.copy_text(
            block.text, f"code block {index + 1} of {len(blocks)} ({block.description})"
        )


def _sanitize(text: str) -> str:
    return safe_text(repair(text))
