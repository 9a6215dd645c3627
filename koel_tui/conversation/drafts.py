"""Drafts: prompts that were not sent, with the contents of their placeholders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,80} #\d{1,9}\]")
_NO_PASTES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Draft:
    """The text of a prompt, and the content of each placeholder in it."""

    text: str = ""
    pasted: Mapping[str, str] = field(default_factory=lambda: _NO_PASTES)

    def to_json(self) -> dict[str, Any]:
        """Serialize the draft to a JSON object for `parse_draft`."""
        pasted = {"pasted": dict(self.pasted)} if self.pasted else {}
        return {"text": self.text, **pasted}


def parse_draft(value: Any) -> Draft:
    """Parse a draft from a JSON value. Raises `ValueError` if it is invalid."""
    draft = parse_draft_lenient(value)
    if len(draft.pasted) != len(value.get("pasted", {})):
        raise ValueError("no pasted text")
    return draft


def parse_draft_lenient(value: Any) -> Draft:
    """Parse a draft from a JSON value; a placeholder without valid content stays as text.

    Raises `ValueError` if the value is not a draft.
    """
    text = value.get("text") if isinstance(value, dict) else None
    pasted = value.get("pasted", {}) if isinstance(value, dict) else None
    if not isinstance(text, str) or not isinstance(pasted, dict):
        raise ValueError("no draft")
    usable = {
        placeholder: content
        for placeholder, content in pasted.items()
        if _PLACEHOLDER.fullmatch(placeholder) and isinstance(content, str)
    }
    return Draft(text, usable)


def join_texts(*texts: str) -> str:
    """Join the nonblank texts with an empty line between them."""
    return "\n\n".join(text for text in texts if text.strip())
