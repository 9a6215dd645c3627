"""The prompt: an editor that grows with its text, sends on enter and remembers what was sent."""

from collections.abc import Callable
from dataclasses import dataclass, field

from textual import events
from textual.actions import SkipAction
from textual.widgets import TextArea

from koel_tui.text import repair, safe_text
from koel_tui.ui import inside
from koel_tui.ui.keys import PROMPT_KEYS, bindings

MAX_LINES = 10
_FRAME = 2


@dataclass(slots=True)
class History:
    """Prompts sent, oldest first, and where in them the user is."""

    texts: list[str] = field(default_factory=list)
    _index: int | None = None
    _draft: str = ""

    def add(self, text: str) -> None:
        """Remember a prompt; the same one twice in a row counts once."""
        self._index = None
        if self.texts[-1:] != [text]:
            self.texts.append(text)

    def step(self, distance: int, current: str) -> str | None:
        """Return the prompt so many steps later (earlier when negative); None at either end.

        Past the newest is what the user was typing when the walk began.
        """
        here = len(self.texts) if self._index is None else self._index
        there = here + distance
        if not 0 <= there <= len(self.texts) or not self.texts:
            return None
        if self._index is None:
            self._draft = current
        if there == len(self.texts):
            self._index = None
            return self._draft
        self._index = there
        return self.texts[there]

    def leave(self) -> None:
        """Forget the place: the next walk begins at the newest."""
        self._index = None


class Prompt(TextArea):
    """Where the user writes."""

    BINDINGS = bindings(PROMPT_KEYS)

    def __init__(self, send: Callable[[str], None]) -> None:
        """Make the prompt. `send` is called at once, before any key pressed later counts."""
        super().__init__(
            id="prompt",
            highlight_cursor_line=False,
            placeholder="Message…  enter sends, ctrl+j starts a new line",
        )
        self.cursor_blink = False  # it would be most of what an idle window costs
        self._send = send
        self._past = History()

    async def on_key(self, event: events.Key) -> None:
        """Do what a key is bound to here and now.

        Textual would look for the binding after the event has gone up to the app, when text
        typed after it is in the prompt already: the enter of a fast typist, or of a program that
        types, would send some of the next prompt.
        """
        for binding in inside.bindings_of(self, event.key):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
        if event.key.startswith(("alt+", "ctrl+")):
            event.prevent_default()  # TextArea would type the 1 of alt+1

    async def on_paste(self, event: events.Paste) -> None:
        """Take control bytes out of what is pasted: a prompt is shown on a terminal, too."""
        clean = safe_text(repair(event.text.replace("\r\n", "\n").replace("\r", "\n")))
        if clean != event.text:
            event.prevent_default()
            event.stop()
            self._type(clean)

    def grow_within(self, lines: int) -> None:
        """Grow with the text to `MAX_LINES`, but never over half of a window of so many lines."""
        self.styles.max_height = max(_FRAME + 1, min(_FRAME + MAX_LINES, lines // 2))

    def replace_text(self, text: str) -> None:
        """Put `text` in place of all there is, with the cursor at its end; undo brings it back."""
        self.replace(text, self.document.start, self.document.end)
        self.move_cursor(self.document.end)

    def show(self, text: str) -> None:
        """Begin anew with `text`: another tab's draft, without the history of this one's edits."""
        self.load_text(text)
        self.move_cursor(self.document.end)
        self._past.leave()

    def action_send(self) -> None:
        """Hand the text over to be sent, unless there is nothing but white space."""
        if self.text.strip():
            text = self.text
            self.show("")
            self._past.add(text)
            self._send(text)

    def action_newline(self) -> None:
        """Start a new line."""
        self._type("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        """Move up; from the first line to the prompt sent before."""
        if select:
            raise SkipAction  # shift+up scrolls the transcript
        if self.navigator.is_first_wrapped_line(self.cursor_location):
            self._walk(-1)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Move down; from the last line to the prompt sent after."""
        if select:
            raise SkipAction  # shift+down scrolls the transcript
        if self.navigator.is_last_wrapped_line(self.cursor_location):
            self._walk(1)
        else:
            super().action_cursor_down(select)

    def action_cursor_page_up(self) -> None:
        """Leave the key to the transcript."""
        raise SkipAction

    def action_cursor_page_down(self) -> None:
        """Leave the key to the transcript."""
        raise SkipAction

    def action_select_line(self) -> None:
        """Leave f6 to the tabs."""
        raise SkipAction

    def _type(self, text: str) -> None:
        """Put `text` where the cursor is, in place of what is selected."""
        self.replace(text, *self.selection, maintain_selection_offset=False)

    def _walk(self, distance: int) -> None:
        if (text := self._past.step(distance, self.text)) is not None:
            self.replace_text(text)
