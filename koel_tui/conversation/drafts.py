"""Drafts, and the placeholders for large pastes and files in the prompt."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from koel_tui.formatting import format_tokens

FOLD_LINES = 20
FOLD_CHARACTERS = 2000
"""A paste with more lines or characters becomes a placeholder: long text slows the editor."""

_TOKEN = re.compile(r"\[[^\[\]\n]{1,80} #\d{1,9}\]")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a prompt, and the content of each placeholder in it."""

    text: str = ""
    pasted: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def as_json(self) -> dict[str, Any]:
        """Serialize the draft to a JSON object for `draft_of`."""
        pasted = {"pasted": dict(self.pasted)} if self.pasted else {}
        return {"text": self.text, **pasted}


def draft_of(value: Any) -> Draft:
    """Parse a draft from a JSON value. Raises `ValueError` if it is invalid."""
    draft = words_of(value)
    if len(draft.pasted) != len(value.get("pasted", {})):
        raise ValueError("no pasted text")
    return draft


def words_of(value: Any) -> Draft:
    """Parse a draft from a JSON value; a placeholder without valid content stays as text.

    Raises `ValueError` if the value is not a draft.
    """
    text = value.get("text") if isinstance(value, dict) else None
    pasted = value.get("pasted", {}) if isinstance(value, dict) else None
    if not isinstance(text, str) or not isinstance(pasted, dict):
        raise ValueError("no draft")
    usable = {
        token: content
        for token, content in pasted.items()
        if _TOKEN.fullmatch(token) and isinstance(content, str)
    }
    return Draft(text, usable)


def joined(*texts: str) -> str:
    """Join the nonblank texts with an empty line between them."""
    return "\n\n".join(text for text in texts if text.strip())


class PastePlaceholders:
    """The pastes of the app by placeholder. A folded paste is kept until the app exits.

    So undo, reopened tabs and the history can restore a placeholder at any time.
    """

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._last = 0

    def fold(self, content: str) -> str:
        """Return the text to insert for a paste: the paste, or a placeholder if it is large."""
        lines = content.count("\n") + (not content.endswith("\n"))
        if lines <= FOLD_LINES and len(content) <= FOLD_CHARACTERS:
            return content
        if content not in self._tokens:
            what = f"{lines} lines" if lines > 1 else f"{format_tokens(len(content))} characters"
            self._know(f"[pasted {what} #{self._last + 1}]", content)
        return self._tokens[content]

    def attach(self, label: str, content: str) -> str:
        """Return the placeholder of a file with this content; `label` must not contain brackets."""
        if content not in self._tokens:
            self._know(f"[{label} #{self._last + 1}]", content)
        return self._tokens[content]

    def expand(self, text: str) -> str:
        """Return `text` with every placeholder replaced by its content.

        An edited placeholder stays unchanged.
        """
        return self._known(text).sub(lambda token: self._contents[token[0]], text)

    def collapse(self, text: str) -> str:
        """Return `text` with every unchanged paste replaced by its placeholder."""
        for content in sorted(self._tokens, key=len, reverse=True):
            text = text.replace(content, self._tokens[content])
        return text

    def draft(self, text: str) -> Draft:
        """Return a prompt's text as a draft, with the content of its placeholders."""
        tokens = self._known(text).findall(text)
        return Draft(text, {token: self._contents[token] for token in tokens})

    def adopt(self, draft: Draft) -> str:
        """Register the placeholders of a restored draft; return its text, conflicts renumbered."""
        renamed = {token: self._adopt(token, content) for token, content in draft.pasted.items()}
        return _any_of(renamed).sub(lambda token: renamed[token[0]], draft.text)

    def span(self, line: str, column: int, *, before: bool) -> tuple[int, int] | None:
        """Return the span of the placeholder that ends (`before`) or begins at `column`."""
        for token in self._known(line).finditer(line):
            if column == token.end(0) if before else column == token.start(0):
                return token.span()
        return None

    def _adopt(self, token: str, content: str) -> str:
        if content not in self._tokens:
            taken = token in self._contents
            self._know(
                f"{token[: token.rindex('#')]}#{self._last + 1}]" if taken else token, content
            )
        return self._tokens[content]

    def _know(self, token: str, content: str) -> None:
        self._contents[token], self._tokens[content] = content, token
        self._last = max(self._last, int(token[token.rindex("#") + 1 : -1]))

    def _known(self, text: str) -> re.Pattern[str]:
        return _any_of(token for token in self._contents if token in text)


def _any_of(tokens: Iterable[str]) -> re.Pattern[str]:
    # Without tokens, the pattern matches nothing.
    return re.compile("|".join(re.escape(token) for token in tokens) or r"(?!)")
