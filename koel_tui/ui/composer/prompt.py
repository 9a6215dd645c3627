"""The prompt: a text editor that grows with its text, sends on enter and keeps a history."""

import asyncio
from collections.abc import Callable, Iterable

from textual import events
from textual.actions import SkipAction
from textual.dom import DOMNode
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from koel_tui.conversation.drafts import Draft
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.conversation.prompt_history import PromptHistory
from koel_tui.text import safe_input
from koel_tui.ui import internals
from koel_tui.ui.keys.hints import format_hints
from koel_tui.ui.keys.key_table import bindings

MAX_LINES = 10
_FRAME = 2
_HINTS = (("prompt.send", "sends"), ("prompt.newline", "starts a new line"))
_APP_TIMEOUT = 2.0
"""Maximum seconds to wait for the app, which may be closing."""


class Prompt(TextArea):
    """The editor of the user's messages."""

    BINDINGS = bindings("prompt")

    def __init__(
        self,
        send: Callable[[str], None],
        append_history: Callable[[Draft], None] = lambda draft: None,
    ) -> None:
        """`send` is called immediately, before any later key is handled.

        `append_history` is called with each sent draft that differs from the previous one.
        """
        super().__init__(
            id="prompt",
            highlight_cursor_line=False,
        )
        self.cursor_blink = False  # blinking would cause most of the idle CPU use
        self._send = send
        self._append_history = append_history
        self._history = PromptHistory()
        self.pastes = PastePlaceholders()

    def on_mount(self) -> None:
        """Set the placeholder with the key hints."""
        self.placeholder = f"Message…  {format_hints(self.app, _HINTS)}"

    async def on_key(self, event: events.Key) -> None:
        """Run the action that the prompt, a parent or the app binds to a key, immediately.

        Textual would look up the binding only after the event has bubbled up to the app. Text typed
        after the key would already be in the prompt by then: with fast input, enter would send part
        of the next prompt, and text for a new tab would stay in the old one.
        """
        for node in self.ancestors_with_self:
            for binding in internals.bindings_for(node, event.key):
                if await self._run(binding.action, node):
                    event.stop()
                    event.prevent_default()
                    return
        if event.key.startswith(("alt+", "ctrl+")):
            event.prevent_default()  # `TextArea` would insert the 1 of alt+1

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Keep the cursor in place when a link in the border is clicked."""
        if "@click" in event.style.meta:
            event.prevent_default()

    async def on_paste(self, event: events.Paste) -> None:
        """Replace a large paste by a placeholder."""
        shown = self.pastes.shorten(event.text)  # the app has sanitized it
        if shown != event.text:
            event.prevent_default()
            event.stop()
            self._insert_at_cursor(shown)

    def limit_height(self, lines: int) -> None:
        """Set the maximum height: `MAX_LINES`, but at most half of an app `lines` rows high."""
        self.styles.max_height = max(_FRAME + 1, min(_FRAME + MAX_LINES, lines // 2))

    def replace_text(self, text: str) -> None:
        """Replace the complete text and put the cursor at its end; can be undone."""
        self.replace(safe_input(text), self.document.start, self.document.end)
        self.move_cursor(self.document.end)

    @property
    def whole_text(self) -> str:
        """The text with placeholders expanded, as it would be sent."""
        return self.pastes.expand(self.text)

    def replace_whole_text(self, text: str) -> None:
        """Replace the complete text; pasted parts become placeholders."""
        # Collapse before and after sanitizing: files keep their own line ends and control
        # characters, pastes are stored sanitized.
        self.replace_text(self.pastes.collapse(safe_input(self.pastes.collapse(text))))

    def add_to_history(self, text: str) -> None:
        """Add a text to the history as if it had been sent."""
        if text.strip() and self._history.add(text):
            self._append_history(self.pastes.draft(text))

    def load_history(self, drafts: Iterable[Draft]) -> None:
        """Add drafts sent in earlier sessions to the history."""
        self._history.prepend([self.pastes.import_draft(draft) for draft in drafts])

    def show(self, text: str) -> None:
        """Load another tab's draft, with a new undo history."""
        self.load_text(safe_input(text))
        self.move_cursor(self.document.end)
        self._history.reset()

    def action_send(self) -> None:
        """Send the text, unless it is blank."""
        if self.text.strip():
            text = self.text
            self.show("")
            self.add_to_history(text)
            self._send(self.pastes.expand(text))

    def action_newline(self) -> None:
        """Insert a line break."""
        self._insert_at_cursor("\n")

    def action_previous(self) -> None:
        """Move up; on the first line, show the previous prompt of the history."""
        if self.navigator.is_first_wrapped_line(self.cursor_location):
            self._move_in_history(-1)
        else:
            self.action_cursor_up()

    def action_next(self) -> None:
        """Move down; on the last line, show the next prompt of the history."""
        if self.navigator.is_last_wrapped_line(self.cursor_location):
            self._move_in_history(1)
        else:
            self.action_cursor_down()

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up, but leave shift+up to the transcript."""
        if select:
            raise SkipAction
        super().action_cursor_up()

    def action_cursor_down(self, select: bool = False) -> None:
        """Move down, but leave shift+down to the transcript."""
        if select:
            raise SkipAction
        super().action_cursor_down()

    def action_undo(self) -> None:
        """Undo the last edit with the cursor at a valid location.

        When a scrollbar disappears together with deleted lines, Textual looks up the old cursor
        location.
        """
        text, selection = self.text, self.selection
        self.selection = Selection.cursor(self.document.start)
        super().action_undo()
        if self.text == text:
            self.selection = selection

    def action_paste(self) -> None:
        """Paste the app's own clipboard in the same way as an external paste."""
        self._insert_at_cursor(self.pastes.shorten(safe_input(self.app.clipboard)))

    def action_delete_left(self) -> None:
        """Delete a character or a paste placeholder."""
        if not self._delete_placeholder(before=True):
            super().action_delete_left()

    def action_delete_right(self) -> None:
        """Delete a character or a paste placeholder."""
        if not self._delete_placeholder(before=False):
            super().action_delete_right()

    def action_delete_word_left(self) -> None:
        """Delete a word or a paste placeholder."""
        if not self._delete_placeholder(before=True):
            super().action_delete_word_left()

    def action_delete_word_right(self) -> None:
        """Delete a word or a paste placeholder."""
        if not self._delete_placeholder(before=False):
            super().action_delete_word_right()

    def action_cursor_page_up(self) -> None:
        """Leave the key to the transcript."""
        raise SkipAction

    def action_cursor_page_down(self) -> None:
        """Leave the key to the transcript."""
        raise SkipAction

    def action_select_line(self) -> None:
        """Leave f6 to the tabs."""
        raise SkipAction

    async def _run(self, action: str, node: DOMNode) -> bool:
        """Run an action of a node; later keys wait. Return whether it was handled.

        The app's queue runs the actions of other nodes, so that they do not overlap.
        """
        if node is self:
            return await self.app.run_action(action, self)
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            handled = False
            try:
                handled = await self.app.run_action(action, node)
            finally:
                if not done.done():
                    done.set_result(handled)

        self.app.call_later(run)
        # A closing app does not run the action, and cannot close until this returns.
        await asyncio.wait([done], timeout=_APP_TIMEOUT)
        return not done.done() or done.result()

    def _insert_at_cursor(self, text: str) -> None:
        """Insert `text` at the cursor, replacing the selection."""
        self.replace(text, *self.selection, maintain_selection_offset=False)

    def _delete_placeholder(self, *, before: bool) -> bool:
        row, column = self.cursor_location
        if not self.selection.is_empty:
            return False
        span = self.pastes.placeholder_at(self.document.get_line(row), column, before=before)
        if span is not None:
            self.delete((row, span[0]), (row, span[1]), maintain_selection_offset=False)
        return span is not None

    def _move_in_history(self, distance: int) -> None:
        if (text := self._history.move(distance, self.text)) is not None:
            self.replace_text(text)
