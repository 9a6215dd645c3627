"""Large pastes and files stand in the prompt as short tokens; what they stand for is kept here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from koel_tui.formatting import count

FOLD_LINES = 20
FOLD_CHARACTERS = 2000
"""A paste of more lines or characters becomes a token: an editor slows down with its text."""

_TOKEN = re.compile(r"\[[^\[\]\n]{1,80} #\d{1,9}\]")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Draft:
    """Text as it stands in the prompt, and what each token in it stands for."""

    text: str = ""
    pasted: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def as_json(self) -> dict[str, Any]:
        """Return what `draft_of` makes a draft of."""
        pasted = {"pasted": dict(self.pasted)} if self.pasted else {}
        return {"text": self.text, **pasted}


def draft_of(value: Any) -> Draft:
    """Return the draft in what was read as JSON. Raises ValueError where there is none."""
    draft = words_of(value)
    if len(draft.pasted) != len(value.get("pasted", {})):
        raise ValueError("no pasted text")
    return draft


def words_of(value: Any) -> Draft:
    """Return the draft in what was read as JSON; a token that stands for nothing is left as text.

    Raises ValueError where there is no draft.
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
    """Return what is written in these texts, with an empty line between two."""
    return "\n\n".join(text for text in texts if text.strip())


class PastePlaceholders:
    """The pastes of a window, by token. One that was folded is known until the window ends.

    So undo, closed tabs and the history may bring a token back at any time.
    """

    def __init__(self) -> None:
        self._contents: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._last = 0

    def fold(self, content: str) -> str:
        """Return what stands for a paste in the prompt: itself, or a token when it is large."""
        lines = content.count("\n") + (not content.endswith("\n"))
        if lines <= FOLD_LINES and len(content) <= FOLD_CHARACTERS:
            return content
        if content not in self._tokens:
            what = f"{lines} lines" if lines > 1 else f"{count(len(content))} characters"
            self._know(f"[pasted {what} #{self._last + 1}]", content)
        return self._tokens[content]

    def attach(self, label: str, content: str) -> str:
        """Return the token of a file with this text; the label has no brackets in it."""
        if content not in self._tokens:
            self._know(f"[{label} #{self._last + 1}]", content)
        return self._tokens[content]

    def expand(self, text: str) -> str:
        """Return `text` with every token replaced by what it stands for.

        A token that was edited stays as it is.
        """
        return self._known(text).sub(lambda token: self._contents[token[0]], text)

    def collapse(self, text: str) -> str:
        """Return `text` with a token for every paste that stands in it as it was pasted."""
        for content in sorted(self._tokens, key=len, reverse=True):
            text = text.replace(content, self._tokens[content])
        return text

    def draft(self, text: str) -> Draft:
        """Return the text of a prompt together with what its tokens stand for."""
        tokens = self._known(text).findall(text)
        return Draft(text, {token: self._contents[token] for token in tokens})

    def adopt(self, draft: Draft) -> str:
        """Return the text of a draft of an earlier window, its tokens made known to this one."""
        renamed = {token: self._adopt(token, content) for token, content in draft.pasted.items()}
        return _any_of(renamed).sub(lambda token: renamed[token[0]], draft.text)

    def span(self, line: str, column: int, *, before: bool) -> tuple[int, int] | None:
        """Return from where to where the token reaches that ends (or begins) at `column`."""
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
    # Without any, a pattern that is found nowhere.
    return re.compile("|".join(re.escape(token) for token in tokens) or r"(?!)")
