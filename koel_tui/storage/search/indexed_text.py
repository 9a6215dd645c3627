"""Tokenization of texts and queries for the search index.

FTS5's `unicode61` matches words and ignores case and accents. A separator is inserted around each
symbol and around each character of a script without spaces between words. Each is a separate token,
so that any sequence of them matches as a phrase: "C++" is the phrase `c + +`.

A part of a word is found with a table of all words: the words that contain it are alternatives in
the expression. The `trigram` tokenizer would match parts of words too, but nothing shorter than
three characters, and many Chinese and Japanese words are shorter.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from koel_tui.storage.errors import StorageError
from koel_tui.text import normalize, repair

MAX_QUERY_LENGTH = 1000
"""The maximum length of a query; search time grows with the square of its number of words."""
MIN_PART = 3
"""The minimum length of a part of a word that is found inside a word."""
# Apostrophes and quotes are separators: a text has them straight or curved.
TOKENIZER = (
    "unicode61 remove_diacritics 2 categories ''L* N* Co S* P* Cn Me'' "
    "separators ''\"''''\u2018\u2019\u201c\u201d''"
)
BEGIN, END, SEPARATOR = "\x02", "\x03", "\x1f"
"""The marks around a match, and the separator; removed from text before it is indexed."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff]"
)
_QUOTES = "\"'\u2018\u2019\u201c\u201d"
_MARK_TO_SPACE = {0: " ", ord(BEGIN): " ", ord(END): " ", ord(SEPARATOR): " "}
_MARKS = re.compile(f"[{BEGIN}{END}]")
_ASCII_SYMBOL = re.compile(r"[!#-&(-/:-@\[-`{-~]")
_MAX_WORD = 100
_WORD = re.compile(rf"[^\W_]{{4,{_MAX_WORD}}}")
"""A word that contains more than the shortest part; a longer one is encoded data."""
_OPENING = f"([{{<«¿¡{_QUOTES}"
_CLOSING = f")]}}».,;:!?…。、\uff0c\uff01\uff1f{_QUOTES}"


class _Separation(dict[int, str]):
    """A table for `str.translate` that is filled on demand: symbols get separators."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        category = unicodedata.category(char)
        is_symbol = (category[0] in "SP" or category == "Me") and char not in _QUOTES
        is_token = is_symbol or _UNSPACED.match(char)
        self[code] = f"{SEPARATOR}{char}{SEPARATOR}" if is_token else char
        return self[code]


_SEPARATION = _Separation()


def prepare_text(text: str) -> str:
    """Return `text` prepared for the index: normalized, with separators."""
    plain = normalize(repair(text)).translate(_MARK_TO_SPACE)
    if plain.isascii():
        return _ASCII_SYMBOL.sub(rf"{SEPARATOR}\g<0>{SEPARATOR}", plain)
    return plain.translate(_SEPARATION)


def find_words(prepared: str) -> set[str]:
    """Return the words of a prepared text in which a part can be found, in lower case."""
    return set(_WORD.findall(prepared.lower()))


def word_key(word: str) -> str:
    """Return a word without case and accents, for the comparison of parts."""
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFD", word.casefold())
    return "".join(char for char in letters if not unicodedata.category(char).startswith("M"))


def split_query(query: str) -> list[list[str]]:
    """Return the tokens of each word of a query, without the punctuation around the word.

    Raises `StorageError` if the query exceeds `MAX_QUERY_LENGTH`.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise StorageError(
            f"The query has {len(query):,} characters; the maximum is {MAX_QUERY_LENGTH:,}. "
            "Search for fewer words."
        )
    words = [word.lstrip(_OPENING).rstrip(_CLOSING) or word for word in query.split()]
    tokens = [prepare_text(word).replace(SEPARATOR, " ").split() for word in words]
    return [each for each in tokens if any(token.strip(_QUOTES) for token in each)]


def match_beginning(words: Sequence[Sequence[str]]) -> str:
    """Return the FTS5 expression that matches all words; the last one can be a prefix."""
    last = len(words) - 1
    return " AND ".join(
        _phrase(word, can_be_prefix=index == last) for index, word in enumerate(words)
    )


def match_word(word: str) -> str:
    """Return the FTS5 expression for a word of `find_words`, a piece of a longer one included."""
    return _phrase([word], can_be_prefix=len(word) == _MAX_WORD)


def match_parts(words: Sequence[Sequence[str]], variants: Sequence[Iterable[str]]) -> str:
    """Return the FTS5 expression that matches all words, each with its variants.

    A variant replaces the first token of its word.
    """
    groups = []
    for word, replacements in zip(words, variants, strict=True):
        phrases = [_phrase(word, can_be_prefix=True)]
        phrases += (
            _phrase([first, *word[1:]], can_be_prefix=len(word) > 1) for first in replacements
        )
        groups.append(f"({' OR '.join(phrases)})")
    return " AND ".join(groups)


def _phrase(tokens: Sequence[str], *, can_be_prefix: bool) -> str:
    """Return a quoted phrase, in which no character is syntax."""
    text = SEPARATOR.join(tokens).replace('"', '""')
    is_prefix = can_be_prefix and len(tokens[-1]) > 1 and tokens[-1][-2:].isalnum()
    return f'"{text}"{"*" if is_prefix else ""}'


def parse_excerpt(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text of a marked excerpt, and the start and end offsets of its matches."""
    pieces = _MARKS.split(marked.replace(SEPARATOR, ""))
    spans, text = [], pieces[0]
    for hit, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        spans.append((len(text), len(text) + len(hit)))
        text += hit + rest
    return text, tuple(spans)
