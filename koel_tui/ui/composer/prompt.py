"""The prompt: an editor that grows with its text, sends on enter and remembers what was sent."""

import asyncio
from collections.abc import Callable, Iterable

from textual import events
from textual.actions import SkipAction
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from koel_tui.conversation.drafts import Draft, PastePlaceholders
from koel_tui.conversation.prompt_history import PromptHistory
from koel_tui.text import safe_input
from koel_tui.ui import internals
from koel_tui.ui.keys.hints import told
from koel_tui.ui.keys.key_table import PROMPT_KEYS, bindings

MAX_LINES = 10
_FRAME = 2
_HINTS = (("prompt.send", "sends"), ("prompt.newline", "starts a new line"))
_WINDOW_PATIENCE = 2.0
"""Seconds to wait for the window, which may have closed."""


class Prompt(TextArea):
    """Where the user writes."""

    BINDINGS = bindings(PROMPT_KEYS)

    def __init__(
        self,
        send: Callable[[str], None],
        remember: Callable[[Draft], None] = lambda draft: None,
    ) -> None:
        """Make the prompt. `send` is called at once, before any key pressed later counts.

        `remember` gets what is sent and not the same as what was sent before.
        """
        super().__init__(
            id="prompt",
            highlight_cursor_line=False,
        )
        self.cursor_blink = False  # it would be most of what an idle window costs
        self._send = send
        self._remember = remember
        self._past = PromptHistory()
        self.pastes = PastePlaceholders()

    def on_mount(self) -> None:
        """Say where nothing is written yet how to send it."""
        self.placeholder = f"Message…  {told(self.app, _HINTS)}"

    async def on_key(self, event: events.Key) -> None:
        """Do what a key is bound to here and now, whether by the prompt or by the window.

        Textual would look for the binding after the event has gone up to the app, when text
        typed after it is in the prompt already: the enter of a fast typist, or of a program that
        types, would send some of the next prompt, and text for a new tab stay in the old one.
        """
        for binding in internals.bindings_of(self, event.key):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
        for binding in internals.bindings_of(self.app, event.key):
            if await self._done_by_window(binding.action):
                event.stop()
                event.prevent_default()
                return
        if event.key.startswith(("alt+", "ctrl+")):
            event.prevent_default()  # TextArea would type the 1 of alt+1

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Leave the cursor where it is when something in the frame is clicked."""
        if "@click" in event.style.meta:
            event.prevent_default()

    async def on_paste(self, event: events.Paste) -> None:
        """Put a token in the place of a lot."""
        shown = self.pastes.fold(event.text)  # the window has made it safe
        if shown != event.text:
            event.prevent_default()
            event.stop()
            self._type(shown)

    def grow_within(self, lines: int) -> None:
        """Grow with the text to `MAX_LINES`, but never over half of a window of so many lines."""
        self.styles.max_height = max(_FRAME + 1, min(_FRAME + MAX_LINES, lines // 2))

    def replace_text(self, text: str) -> None:
        """Put `text` in place of all there is, with the cursor at its end; undo brings it back."""
        self.replace(safe_input(text), self.document.start, self.document.end)
        self.move_cursor(self.document.end)

    @property
    def whole_text(self) -> str:
        """The text with all that was pasted, as it would be sent."""
        return self.pastes.expand(self.text)

    def replace_whole_text(self, text: str) -> None:
        """Put `text` in place of all there is, tokens in the place of what was pasted."""
        # Twice: a file has its own line ends and control characters, a paste has safe ones.
        self.replace_text(self.pastes.collapse(safe_input(self.pastes.collapse(text))))

    def keep(self, text: str) -> None:
        """Put a text into the history as if it had been sent."""
        if text.strip() and self._past.add(text):
            self._remember(self.pastes.draft(text))

    def recall(self, drafts: Iterable[Draft]) -> None:
        """Put what was sent in earlier windows into the history."""
        self._past.begin_with([self.pastes.adopt(draft) for draft in drafts])

    def show(self, text: str) -> None:
        """Begin anew with `text`: another tab's draft, without the history of this one's edits."""
        self.load_text(safe_input(text))
        self.move_cursor(self.document.end)
        self._past.leave()

    def action_send(self) -> None:
        """Hand the text over to be sent, unless there is nothing but white space."""
        if self.text.strip():
            text = self.text
            self.show("")
            self.keep(text)
            self._send(self.pastes.expand(text))

    def action_newline(self) -> None:
        """Start a new line."""
        self._type("\n")

    def action_previous(self) -> None:
        """Move up; from the first line to the prompt sent before."""
        if self.navigator.is_first_wrapped_line(self.cursor_location):
            self._walk(-1)
        else:
            self.action_cursor_up()

    def action_next(self) -> None:
        """Move down; from the last line to the prompt sent after."""
        if self.navigator.is_last_wrapped_line(self.cursor_location):
            self._walk(1)
        else:
            self.action_cursor_down()

    def action_cursor_up(self, select: bool = False) -> None:
        """Leave shift+up to the transcript."""
        if select:
            raise SkipAction
        super().action_cursor_up()

    def action_cursor_down(self, select: bool = False) -> None:
        """Leave shift+down to the transcript."""
        if select:
            raise SkipAction
        super().action_cursor_down()

    def action_undo(self) -> None:
        """Take the last edit back, from where there is text in any case.

        When a scrollbar goes with lines that go, Textual looks for the cursor where it was.
        """
        text, selection = self.text, self.selection
        self.selection = Selection.cursor(self.document.start)
        super().action_undo()
        if self.text == text:
            self.selection = selection

    def action_paste(self) -> None:
        """Paste what was copied in the window, in the way of what comes from outside."""
        self._type(self.pastes.fold(safe_input(self.app.clipboard)))

    def action_delete_left(self) -> None:
        """Delete a character, or the token of a paste."""
        if not self._delete_token(before=True):
            super().action_delete_left()

    def action_delete_right(self) -> None:
        """Delete a character, or the token of a paste."""
        if not self._delete_token(before=False):
            super().action_delete_right()

    def action_delete_word_left(self) -> None:
        """Delete a word, or the token of a paste."""
        if not self._delete_token(before=True):
            super().action_delete_word_left()

    def action_delete_word_right(self) -> None:
        """Delete a word, or the token of a paste."""
        if not self._delete_token(before=False):
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

    async def _done_by_window(self, action: str) -> bool:
        """Have the window do something in its own queue, and wait: what is typed waits too."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def do() -> None:
            handled = False
            try:
                handled = await self.app.run_action(action, self.app)
            finally:
                if not done.done():
                    done.set_result(handled)

        self.app.call_later(do)
        # A window that is closing does nothing any more, and closes when this returns.
        await asyncio.wait([done], timeout=_WINDOW_PATIENCE)
        return not done.done() or done.result()

    def _type(self, text: str) -> None:
        """Put `text` where the cursor is, in place of what is selected."""
        self.replace(text, *self.selection, maintain_selection_offset=False)

    def _delete_token(self, *, before: bool) -> bool:
        row, column = self.cursor_location
        if not self.selection.is_empty:
            return False
        span = self.pastes.span(self.document.get_line(row), column, before=before)
        if span is not None:
            self.delete((row, span[0]), (row, span[1]), maintain_selection_offset=False)
        return span is not None

    def _walk(self, distance: int) -> None:
        if (text := self._past.step(distance, self.text)) is not None:
            self.replace_text(text)
