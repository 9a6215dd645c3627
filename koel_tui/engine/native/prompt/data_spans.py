"""Replacement of characters in data, which marks the data in a rendered chat template.

A chat template may trim, split, escape or compare the text of a message, so its output does not
show where that text is. So `ChatTemplate` renders a conversation twice: unchanged, and with each
character of data that occurs in a control token replaced by a private-use character that occurs
nowhere else. Strip, slices, lengths, concatenation and JSON treat both in the same way.

- If the second output is the first one with the characters replaced, it shows the origin of each
  character.
- If not, the output depends on the text of the data. Then the conversation is rendered a third
  time, with only the control tokens replaced that data spells; the template sees all other text.
  If this output has other control tokens than the second one, the template may have created them
  from data, and the second output is used.
- A template that rejects the replaced characters fails, because nothing shows then which control
  tokens are its own.

Other methods were rejected:

- Replace each text by a placeholder: a template that inspects the text (Qwen's
  `'</think>' in content`, `content.startswith('<tool_response>')`) then renders something else.
- Use strings that record their origin (a subclass of str in the sandbox): every filter and string
  method of Jinja must keep the record, and each one that loses it is a security hole.
- Break only the control tokens that a text spells: a template that removes line breaks or changes
  the case creates others.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from koel_tui.engine.native.control_tokens import Spellings

_REPLACEMENT_RANGES = ((0xE000, 0xF900), (0x40000, 0xE0000), (0xF0000, 0x10FFFE))
"""The ranges of code points without a meaning: private use and unassigned planes."""


class CharacterSubstitution:
    """A reversible replacement of the characters that occur in control tokens, one for one."""

    def __init__(self, spellings: Spellings, used: set[str]) -> None:
        """`used` are the characters that the template and the data use.

        Raises ValueError when too few other characters are left.
        """
        self._spellings = spellings
        codes = (code for start, end in _REPLACEMENT_RANGES for code in range(start, end))
        free = (character for character in map(chr, codes) if character not in used)
        alphabet = sorted(spellings.alphabet)
        replacements = list(islice(free, len(alphabet)))
        if len(replacements) < len(alphabet):
            raise ValueError("it uses nearly every character there is")
        self._replacements = str.maketrans(dict(zip(alphabet, replacements, strict=True)))
        self._originals = str.maketrans(dict(zip(replacements, alphabet, strict=True)))

    def replace_all(self, text: str) -> str:
        """Return a text of the same length, with the characters of control tokens replaced."""
        return text.translate(self._replacements)

    def replace_spelled(self, text: str) -> str:
        """Return a text with the control tokens that it spells replaced."""
        for span in self._spellings.spans(text):  # a replacement keeps the other positions
            text = text[: span.start] + self.replace_all(span.spelling) + text[span.end :]
        return text

    def restore(self, text: str) -> str:
        """Return a text with the original characters restored."""
        return text.translate(self._originals)


def may_form_control_token(spellings: Spellings, text: str) -> bool:
    """Return whether a template could join a text with others to a control token.

    It could if the text has the first or last character of one, or if it is an inner part of one.
    """
    return not spellings.edges.isdisjoint(text) or spellings.is_part(text.strip())


def iter_strings(value: object) -> Iterator[str]:
    """Yield every string in plain data, including keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from iter_strings(key)
            yield from iter_strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from iter_strings(item)


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Return plain data with `change` applied to its strings, including keys."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(key): map_strings(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(item, change) for item in value]
    return value
