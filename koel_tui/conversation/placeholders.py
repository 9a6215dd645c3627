"""The placeholders for large pastes and files in the prompt."""

import re
from collections.abc import Iterable

from koel_tui.conversation.drafts import Draft
from koel_tui.formatting import format_tokens

MAX_PASTE_LINES = 20
MAX_PASTE_CHARACTERS = 2000
"""A paste with more lines or characters becomes a placeholder: long text slows the editor."""


class PastePlaceholders:
    """The pastes of the app by placeholder. A folded paste is kept until the app exits.

    So undo, reopened tabs and the history can restore a placeholder at any time.
    """

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        """The contents by placeholder."""
        self._placeholders: dict[str, str] = {}
        """The placeholders by content."""
        self._last_number = 0

    def shorten(self, content: str) -> str:
        """Return the text to insert for a paste: the paste, or a placeholder if it is large."""
        is_small = _line_count(content) <= MAX_PASTE_LINES and len(content) <= MAX_PASTE_CHARACTERS
        return content if is_small else self.fold(content)

    def fold(self, content: str) -> str:
        """Return the placeholder of a paste, also of a small one."""
        if content not in self._placeholders:
            lines = _line_count(content)
            what = f"{lines} lines" if lines > 1 else f"{format_tokens(len(content))} characters"
            self._register(f"[pasted {what} #{self._last_number + 1}]", content)
        return self._placeholders[content]

    def attach(self, label: str, content: str) -> str:
        """Return the placeholder of a file with this content; `label` must not contain brackets."""
        if content not in self._placeholders:
            self._register(f"[{label} #{self._last_number + 1}]", content)
        return self._placeholders[content]

    def expand(self, text: str) -> str:
        """Return `text` with every placeholder replaced by its content.

        An edited placeholder stays unchanged.
        """
        return self._pattern_for(text).sub(lambda match: self._contents[match[0]], text)

    def collapse(self, text: str) -> str:
        """Return `text` with every unchanged paste replaced by its placeholder."""
        for content in sorted(self._placeholders, key=len, reverse=True):
            text = text.replace(content, self._placeholders[content])
        return text

    def draft(self, text: str) -> Draft:
        """Return a prompt's text as a draft, with the content of its placeholders."""
        placeholders = self._pattern_for(text).findall(text)
        return Draft(text, {each: self._contents[each] for each in placeholders})

    def import_draft(self, draft: Draft) -> str:
        """Register the placeholders of a restored draft; return its text, conflicts renumbered."""
        renamed = {
            placeholder: self._import_placeholder(placeholder, content)
            for placeholder, content in draft.pasted.items()
        }
        return _pattern_of_any(renamed).sub(lambda match: renamed[match[0]], draft.text)

    def placeholder_at(self, line: str, column: int, *, before: bool) -> tuple[int, int] | None:
        """Return the span of the placeholder that ends (`before`) or begins at `column`."""
        for match in self._pattern_for(line).finditer(line):
            if column == (match.end() if before else match.start()):
                return match.span()
        return None

    def _import_placeholder(self, placeholder: str, content: str) -> str:
        """Register a restored placeholder; return it, with a new number if it is in use."""
        if content not in self._placeholders:
            if placeholder in self._contents:
                label = placeholder[: placeholder.rindex("#")]
                placeholder = f"{label}#{self._last_number + 1}]"
            self._register(placeholder, content)
        return self._placeholders[content]

    def _register(self, placeholder: str, content: str) -> None:
        self._contents[placeholder], self._placeholders[content] = content, placeholder
        number = int(placeholder[placeholder.rindex("#") + 1 : -1])
        self._last_number = max(self._last_number, number)

    def _pattern_for(self, text: str) -> re.Pattern[str]:
        """Return a pattern for the registered placeholders that `text` contains."""
        return _pattern_of_any(each for each in self._contents if each in text)


def _line_count(content: str) -> int:
    return content.count("\n") + (not content.endswith("\n"))


def _pattern_of_any(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern for any of these texts; without texts, it matches nothing."""
    return re.compile("|".join(map(re.escape, texts)) or r"(?!)")
