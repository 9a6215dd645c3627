"""Writing the prompt in an external editor, which uses the terminal until it exits."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App, SuspendNotSupported
from textual.worker import WorkerError

from koel_tui.conversation.drafts import join_texts
from koel_tui.ui import internals
from koel_tui.ui.composer.prompt import Prompt

if TYPE_CHECKING:
    from koel_tui.system.signals import Signals

_GROUP = "editor"
"""The worker group of the editor."""
_LONG_TIMEOUT_S = 120.0
"""The time that a notification with the path of edited text is shown."""


class ExternalEditor:
    """Runs the user's editor with the text of the prompt."""

    def __init__(self, app: App[int], prompt: Prompt, signals: "Signals") -> None:
        self.left_text = ""
        """A sentence with the path of edited text that did not reach the prompt, else empty."""
        self._app = app
        self._prompt = prompt
        self._signals = signals

    def start(self) -> None:
        """Start the editor; its text replaces the prompt's text when it exits."""
        self._app.run_worker(self._edit(), group=_GROUP)

    async def end(self) -> None:
        """Terminate a running editor and keep what it saved."""
        if editing := self._app.workers.cancel_group(self._app, _GROUP):
            with suppress(WorkerError):  # the cancelled worker raises
                await self._app.workers.wait_for_complete(editing)

    async def _edit(self) -> None:
        from koel_tui.system.editor import EditorError, edit_in_editor, editor_command

        prompt = self._prompt
        before = prompt.whole_text

        def restore_text(text: str, left: Path | None = None) -> None:
            # Keep text that was returned to the prompt while the editor was open.
            meanwhile = "" if prompt.whole_text == before else prompt.whole_text
            prompt.replace_whole_text(join_texts(meanwhile, text))
            if left is not None:
                self._leave(left)

        try:
            command = editor_command(os.environ)
            with self._signals.without_interrupt(), internals.suspend_app(self._app):
                text = await edit_in_editor(before, command, restore_text)
        except (EditorError, OSError, SuspendNotSupported) as error:
            kept = error.kept if isinstance(error, EditorError) else None
            if kept is not None:
                self._leave(kept)
            # The user may still be in the editor's window.
            self._app.notify(
                str(error), severity="error", timeout=_LONG_TIMEOUT_S if kept else None
            )
            return
        restore_text(text)

    def _leave(self, path: Path) -> None:
        """Name the path at the end of the program too."""
        self.left_text = f"The edited text is in {path}."
