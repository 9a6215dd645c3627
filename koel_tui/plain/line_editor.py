"""Editing of the text that is typed, with the usual keys of a shell. No I/O."""

import unicodedata
from collections.abc import Callable, Iterable

from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.text import safe_input, safe_text

_JOINER = "\u200d"
_VARIATION_SELECTORS = ("\ufe0e", "\ufe0f")


class LineEditor:
    """A text with a cursor, a history, and the last deleted text."""

    def __init__(self, pastes: PastePlaceholders) -> None:
        """`pastes` keeps the text of large pastes."""
        self._pastes = pastes
        self.text = ""
        self.cursor = 0
        self._deleted = ""
        self._history: list[str] = []
        self._position = 0
        """The index in the history; its length while new text is typed."""
        self._edits: dict[int, str] = {}
        """The texts that were shown before, by position, until one is entered."""
        self._query: str | None = None
        """The text that the history is searched for, during a search."""
        self._actions: dict[str, Callable[[], None]] = {
            "backspace": lambda: self._delete(self._before(), self.cursor),
            "delete": lambda: self._delete(self.cursor, self._after()),
            "left": lambda: self._move(self._before()),
            "right": lambda: self._move(self._after()),
            "home": lambda: self._move(self._line_start()),
            "end": lambda: self._move(self._line_end()),
            "word left": lambda: self._move(self._word_start()),
            "word right": lambda: self._move(self._word_end()),
            "up": self._up,
            "down": self._down,
            "search": self._search,
            "delete word left": lambda: self._cut(self._word_start(), self.cursor),
            "delete word right": lambda: self._cut(self.cursor, self._word_end()),
            "delete to start": lambda: self._cut(self._line_start(), self.cursor),
            "delete to end": lambda: self._cut(self.cursor, self._line_end()),
            "yank": lambda: self._insert(self._deleted),
        }

    def press(self, key: str) -> None:
        """Handle a key; keys without a meaning here do nothing."""
        if key != "search":
            self._query = None
        if action := self._actions.get(key):
            action()

    def type(self, text: str) -> None:
        """Insert typed text."""
        self._query = None
        self._insert(safe_text(text))

    def paste(self, text: str) -> None:
        """Insert pasted text; large text becomes a placeholder.

        Lines that would be a command, or that a backslash at the end would continue, also become
        a placeholder.
        """
        self._query = None
        text = safe_input(text)
        is_special = text.startswith("/") or text.endswith("\\")
        fold = self._pastes.fold if "\n" in text and is_special else self._pastes.shorten
        self._insert(fold(text))

    def begin(self, text: str) -> None:
        """Put text in front of what has been typed, with a line break between them."""
        text = safe_text(text)
        if text and self.text:
            text += "\n"
        self.text = text + self.text
        self.cursor += len(text)

    def take(self) -> str:
        """Return the text, and start with an empty one."""
        text, self.text, self.cursor, self._query = self.text, "", 0, None
        self._edits.clear()
        self.add_history([text])
        return text

    def add_history(self, texts: Iterable[str]) -> None:
        """Add texts, oldest first, without blank ones and repetitions."""
        for text in map(safe_text, texts):
            if text.strip() and self._history[-1:] != [text]:
                self._history.append(text)
        self._position = len(self._history)

    def _insert(self, text: str) -> None:
        self.text = self.text[: self.cursor] + text + self.text[self.cursor :]
        self.cursor += len(text)

    def _delete(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _cut(self, start: int, end: int) -> None:
        self._deleted = self.text[start:end] or self._deleted
        self._delete(start, end)

    def _move(self, cursor: int) -> None:
        self.cursor = cursor

    def _before(self) -> int:
        """Return the start of the character or placeholder in front of the cursor."""
        span = self._pastes.placeholder_at(self.text, self.cursor, before=True)
        if span is not None:
            return span[0]
        index = max(0, self.cursor - 1)
        while index > 0 and (_extends(self.text[index]) or self.text[index - 1] == _JOINER):
            index -= 1
        return index

    def _after(self) -> int:
        """Return the end of the character or placeholder behind the cursor."""
        span = self._pastes.placeholder_at(self.text, self.cursor, before=False)
        if span is not None:
            return span[1]
        index = min(len(self.text), self.cursor + 1)
        while index < len(self.text) and (
            _extends(self.text[index]) or self.text[index - 1] == _JOINER
        ):
            index += 1
        return index

    def _word_start(self) -> int:
        span = self._pastes.placeholder_at(self.text, self.cursor, before=True)
        if span is not None:
            return span[0]
        head = self.text[: self.cursor].rstrip()
        return len(head) - len(head.split()[-1]) if head else 0

    def _word_end(self) -> int:
        span = self._pastes.placeholder_at(self.text, self.cursor, before=False)
        if span is not None:
            return span[1]
        tail = self.text[self.cursor :].lstrip()
        return len(self.text) - len(tail) + (len(tail.split()[0]) if tail else 0)

    def _line_start(self) -> int:
        return self.text.rfind("\n", 0, self.cursor) + 1

    def _line_end(self) -> int:
        end = self.text.find("\n", self.cursor)
        return len(self.text) if end < 0 else end

    def _up(self) -> None:
        start = self._line_start()
        if start == 0:
            self._show(self._position - 1)
            return
        above = self.text.rfind("\n", 0, start - 1) + 1
        self.cursor = min(above + self.cursor - start, start - 1)

    def _down(self) -> None:
        end = self._line_end()
        if end == len(self.text):
            self._show(self._position + 1)
            return
        below_end = self.text.find("\n", end + 1)
        limit = len(self.text) if below_end < 0 else below_end
        self.cursor = min(end + 1 + self.cursor - self._line_start(), limit)

    def _search(self) -> None:
        """Show the newest older text of the history that contains what was typed."""
        if self._query is None:
            self._query = self.text
        for index in range(self._position - 1, -1, -1):
            if self._query in self._history[index]:
                self._show(index)
                break

    def _show(self, position: int) -> None:
        """Show a text of the history, or the new text after its end."""
        if not 0 <= position <= len(self._history):
            return
        self._edits[self._position] = self.text
        self._position = position
        self.text = self._edits[position] if position in self._edits else self._history[position]
        self.cursor = len(self.text)


def _extends(char: str) -> bool:
    """Return whether a character is drawn together with the one before it."""
    return (
        unicodedata.combining(char) > 0
        or unicodedata.category(char) == "Me"
        or char == _JOINER
        or char in _VARIATION_SELECTORS
    )
