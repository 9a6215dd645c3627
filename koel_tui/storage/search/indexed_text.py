"""Tokenization of texts and queries for the search index.

FTS5's `unicode61` matches words and ignores case and accents. A text in a script without spaces
between words would be one long token, so a separator is inserted around each of its characters and
any sequence of them matches as a phrase. The `trigram` tokenizer would match parts of words too,
but nothing shorter than three characters, and many Chinese and Japanese words are shorter.
"""

import re

from koel_tui.storage.errors import StorageError
from koel_tui.text import repair

MAX_QUERY_LENGTH = 1000
"""The maximum length of a query; search time grows with the square of its number of words."""
TOKENIZER = "unicode61 remove_diacritics 2"
BEGIN, END, SEPARATOR = "\x02", "\x03", "\x1f"
"""The marks around a match, and the separator; removed from text before it is indexed."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
_MARK_TO_SPACE = {0: " ", ord(BEGIN): " ", ord(END): " ", ord(SEPARATOR): " "}
_MARKS = re.compile(f"[{BEGIN}{END}]")


def prepare_text(text: str) -> str:
    """Return `text` prepared for the index."""
    plain = repair(text).translate(_MARK_TO_SPACE)
    return plain if plain.isascii() else _UNSPACED.sub(rf"{SEPARATOR}\g<0>{SEPARATOR}", plain)


def build_match(query: str) -> str:
    """Return the FTS5 expression that matches all words of a query; no character is syntax.

    The last word matches as a prefix if it has at least two letters. Empty if there are no words.
    Raises `StorageError` if the query exceeds `MAX_QUERY_LENGTH`.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise StorageError(
            f"The query has {len(query):,} characters; the maximum is {MAX_QUERY_LENGTH:,}. "
            "Search for fewer words."
        )
    words = ['"{}"'.format(prepare_text(word).replace('"', '""')) for word in query.split()]
    if words and words[-1][-3:-1].isalnum():
        words[-1] += "*"
    return " ".join(words)


def parse_excerpt(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text of a marked excerpt, and the start and end offsets of its matches."""
    pieces = _MARKS.split(marked.replace(SEPARATOR, ""))
    spans, text = [], pieces[0]
    for hit, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        spans.append((len(text), len(text) + len(hit)))
        text += hit + rest
    return text, tuple(spans)
