"""Detection of the data in a rendered chat template, by rendering it a second time.

A chat template may trim, split, escape or compare the text of a message, so its output does not
show where that text is. These methods were compared:

- Replace each text by a placeholder before rendering: a template that inspects the text (Qwen's
  `'</think>' in content`, `content.startswith('<tool_response>')`) then renders something else.
- Use strings that record their origin (a subclass of str in the sandbox): every filter and string
  method of Jinja must keep the record, and each one that loses it is a security hole.
- Break only the control tokens that a text spells: a template that removes line breaks or changes
  the case creates others.

So a conversation is rendered unchanged, and again with each character of data that occurs in a
control token replaced by a private-use character that occurs nowhere else. Strip, slices, lengths,
concatenation and JSON treat both in the same way. If the second output is the first one with the
characters replaced, it shows the origin of each character. If not, the output depends on the text
of the data. Then only the control tokens that data spells are replaced, and the template sees all
other text. If that gives other control tokens than the second output has, the template may have
created them, and the second output is used. A template that rejects the replaced characters fails,
because nothing shows then which control tokens are its own.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from koel_tui.engine.native.control_tokens import Spellings

_PRIVATE = ((0xE000, 0xF900), (0x40000, 0xE0000), (0xF0000, 0x10FFFE))
"""Code points without a meaning: private use and unassigned planes."""


class CharacterSubstitution:
    """A reversible replacement of characters of data."""

    def __init__(self, spellings: Spellings, used: set[str]) -> None:
        """`used` are the characters that the template and the data use.

        Raises ValueError when too few other characters are left.
        """
        self._spellings = spellings
        free = (chr(code) for span in _PRIVATE for code in range(*span) if chr(code) not in used)
        alphabet = sorted(spellings.alphabet)
        replacements = list(islice(free, len(alphabet)))
        if len(replacements) < len(alphabet):
            raise ValueError("it uses nearly every character there is")
        self._replacements = str.maketrans(dict(zip(alphabet, replacements, strict=True)))
        self._originals = str.maketrans(dict(zip(replacements, alphabet, strict=True)))

    def replace_all(self, text: str) -> str:
        """Return a text with every character replaced that occurs in a control token."""
        return text.translate(self._replacements)

    def replace_spelled(self, text: str) -> str:
        """Return a text with the control tokens that it spells replaced."""
        for span in self._spellings.spans(text):
            text = text[: span.start] + self.replace_all(span.spelling) + text[span.end :]
        return text

    def restore(self, text: str) -> str:
        """Return a text with the original characters restored."""
        return text.translate(self._originals)


def may_form_control_token(spellings: Spellings, text: str) -> bool:
    """Return whether a template could make a text a part of a control token."""
    return not spellings.edges.isdisjoint(text) or spellings.is_part(text.strip())


def iter_strings(value: object) -> Iterator[str]:
    """Yield every string in plain data, including keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(iter_strings, chain.from_iterable(value.items())))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(iter_strings, value))


def map_strings(value: Any, text: Callable[[str], str], key: Callable[[str], str]) -> Any:
    """Return plain data with `text` applied to its strings and `key` to the keys of its objects."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {key(name): map_strings(each, text, key) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [map_strings(each, text, key) for each in value]
    return value
