"""Which characters of a rendered chat template come from data: found by rendering it again.

A chat template may trim, split, escape or compare the text of a message, so its output does not
say where that text is. These ways to find it were compared:

- Replace each text by a placeholder before rendering: a template that looks into the text (Qwen's
  `'</think>' in content`, `content.startswith('<tool_response>')`) then renders something else.
- Strings that remember where they come from (a subclass of str in the sandbox): every filter and
  string method of Jinja must keep the mark, and each that loses it opens a hole.
- Break only the control tokens that a text spells: a template that removes line breaks or changes
  the case puts others together.

So a conversation is rendered as it is, and again with each character of data that occurs in a
control token replaced by a private-use character that occurs nowhere else. Strip, slices, lengths,
concatenation and JSON treat both in the same way. Where the second text is the first one with the
characters replaced, it says of each character where it comes from. Where it is not, the template
decides by the text. Then only the control tokens that data spells are replaced, and the template
sees all other text. Where that gives other control tokens than the second text has, the template
may have put them together, and the second text is used. A template that refuses the replaced
characters fails: nothing shows then which control tokens are its own.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import Any

from koel_tui.engine.native.control import Spellings

_PRIVATE = ((0xE000, 0xF900), (0x40000, 0xE0000), (0xF0000, 0x10FFFE))
"""Code points that mean nothing: private use and unassigned planes."""


class Disguise:
    """Replaces characters of data by others, one by one, and back."""

    def __init__(self, spellings: Spellings, taken: set[str]) -> None:
        """`taken` are the characters that the template and the data use.

        Raises ValueError when they leave too few.
        """
        self._spellings = spellings
        free = (chr(code) for span in _PRIVATE for code in range(*span) if chr(code) not in taken)
        alphabet = sorted(spellings.alphabet)
        replacements = list(islice(free, len(alphabet)))
        if len(replacements) < len(alphabet):
            raise ValueError("it uses nearly every character there is")
        self._there = str.maketrans(dict(zip(alphabet, replacements, strict=True)))
        self._back = str.maketrans(dict(zip(replacements, alphabet, strict=True)))

    def whole(self, text: str) -> str:
        """Return a text with every character replaced that occurs in a control token."""
        return text.translate(self._there)

    def spelled(self, text: str) -> str:
        """Return a text with the control tokens replaced that it spells."""
        for span in self._spellings.spans(text):
            text = text[: span.start] + self.whole(span.spelling) + text[span.end :]
        return text

    def restored(self, text: str) -> str:
        """Return a text with the original characters."""
        return text.translate(self._back)


def suspicious(spellings: Spellings, text: str) -> bool:
    """Return whether a text could become a part of a control token in the hands of a template."""
    return not spellings.edges.isdisjoint(text) or spellings.is_part(text.strip())


def strings(value: object) -> Iterator[str]:
    """Yield every string in plain data, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from chain.from_iterable(map(strings, chain.from_iterable(value.items())))
    elif isinstance(value, list | tuple):
        yield from chain.from_iterable(map(strings, value))


def mapped(value: Any, text: Callable[[str], str], key: Callable[[str], str]) -> Any:
    """Return plain data with its strings and the keys of its objects replaced."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {key(name): mapped(each, text, key) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [mapped(each, text, key) for each in value]
    return value
