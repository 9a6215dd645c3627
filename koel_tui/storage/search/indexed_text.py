"""Text as the search index holds it, and as it is asked for.

FTS5's `unicode61` finds words, whatever their case and accents. Scripts that put no spaces between
words would be one endless word each; their characters are set apart by a separator instead, so that
any run of them is found as a phrase. The `trigram` tokenizer would find parts of words as well, but
nothing shorter than three characters, which many Chinese and Japanese words are.
"""

import re

from koel_tui.storage.errors import StorageError
from koel_tui.text import repair

MAX_CHARACTERS = 1000
"""What is searched for at once; the time it takes grows with the square of the words."""
TOKENIZER = "unicode61 remove_diacritics 2"
BEGIN, END, APART = "\x02", "\x03", "\x1f"
"""What marks a hit, and what sets characters apart; none of them is in indexed text."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
_OURS = {0: " ", ord(BEGIN): " ", ord(END): " ", ord(APART): " "}
_MARKS = re.compile(f"[{BEGIN}{END}]")


def indexed(text: str) -> str:
    """Return `text` as the index holds it."""
    plain = repair(text).translate(_OURS)
    return plain if plain.isascii() else _UNSPACED.sub(rf"{APART}\g<0>{APART}", plain)


def match_of(query: str) -> str:
    """Return the FTS5 expression for what a user wrote: all of the words, none of it syntax.

    The last word may be the beginning of one, from its second letter on. Empty when there is none.
    Raises `StorageError` when it is too much.
    """
    if len(query) > MAX_CHARACTERS:
        raise StorageError(
            f"{len(query):,} characters are too many to be searched for, and {MAX_CHARACTERS:,} "
            "is the most. Search for fewer words."
        )
    words = ['"{}"'.format(indexed(word).replace('"', '""')) for word in query.split()]
    if words and words[-1][-3:-1].isalnum():
        words[-1] += "*"
    return " ".join(words)


def unmarked(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return an excerpt with marks as its text and the places of the hits in it."""
    pieces = _MARKS.split(marked.replace(APART, ""))
    spans, text = [], pieces[0]
    for hit, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        spans.append((len(text), len(text) + len(hit)))
        text += hit + rest
    return text, tuple(spans)
