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
from koel_tui.text import drop_invisible, normalize, repair

MAX_QUERY_LENGTH = 1000
"""The maximum length of a query; search time grows with the square of its number of words."""
MIN_PART = 3
"""The minimum length of a part of a word that is found inside a word."""
# Apostrophes and quotes are separators: a text has them straight or curved. Vowel signs of Indic
# scripts are parts of words; selectors of emoji variants are not.
TOKENIZER = (
    "unicode61 remove_diacritics 2 categories ''L* N* Co S* P* Cn M*'' "
    "separators ''\"''''\u2018\u2019\u201c\u201d\ufe0e\ufe0f''"
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
_JOINERS = "\u200c\u200d"
_ZWJ = "\u200d"
_JOINED = f"{_JOINERS}\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""Joiners and skin tones."""
_SIGNS = f"\u0300-\u036f\u0900-\u0963\u0966-\u0dff{_JOINERS}"
_SIGNED_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_SIGNS}]){{1,{_MAX_WORD - 1}}}")
"""A word with accents that are not a part of a letter, vowel signs of an Indic script, joiners."""
_WORD_END = re.compile(rf"(?:[^\W_]|[{_SIGNS}]){{2}}\Z")
_VOWEL_SIGNS = re.compile(
    "[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc"
    "\u06df-\u06e8\u06ea-\u06ed]"
)
"""Signs of Hebrew and Arabic that a text can have or lack."""
_LETTER_FORMS = str.maketrans(
    {
        "\u0131": "i",
        "\u00f8": "o",
        "\u0142": "l",
        "\u0111": "d",
        "\u0127": "h",
        "\u00e6": "ae",
        "\u0153": "oe",
    }
)
"""Letters that Unicode does not decompose."""
_OPENING = f"([{{\u00ab\u2039\u201e\u201a\u00bf\u00a1\u300c\u300e\u3010\u300a\u3008\uff08{_QUOTES}"
_CLOSING = (
    f")]}}\u00bb.,;:!?\u2026\u203a\u201c\u201f\u300d\u300f\u3011\u300b\u3009\uff09\u3001\u3002"
    f"\uff0c\uff01\uff1f\uff1a\uff1b\u061f\u060c\u061b\u0964{_QUOTES}"
)
_ONLY_SYMBOLS = re.compile(r"[!-/:-@\[-`{-~]*")


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
    plain = plain if plain.isascii() else _VOWEL_SIGNS.sub("", drop_invisible(plain))
    if plain.isascii():
        return _ASCII_SYMBOL.sub(rf"{SEPARATOR}\g<0>{SEPARATOR}", plain)
    return plain.translate(_SEPARATION)


def find_words(prepared: str) -> set[str]:
    """Return the words of a prepared text that another text can find, in lower case.

    These are words in which a part can be found, and words with accents.
    """
    text = prepared.lower()
    words = set(_WORD.findall(text))
    if not text.isascii():
        signed = {word for word in _SIGNED_WORD.findall(text) if not word.isascii()} - words
        words.update(word for word in signed if len(word) > MIN_PART or word_key(word) != word)
    return words


def is_mark(char: str) -> bool:
    """Return whether a character is a mark on the letter before it."""
    return unicodedata.category(char).startswith("M")


def word_key(word: str) -> str:
    """Return a word without case, accents and joiners, for the comparison of parts."""
    if word.isascii():
        return word.lower()
    letters = unicodedata.normalize("NFD", word.casefold().translate(_LETTER_FORMS))
    return "".join(
        char for char in letters if not (is_mark(char) and char < "\u0900") and char not in _JOINERS
    )


def split_query(query: str) -> list[list[str]]:
    """Return the tokens of each word of a query, without the punctuation around the word.

    Raises `StorageError` if the query exceeds `MAX_QUERY_LENGTH`.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise StorageError(
            f"The query has {len(query):,} characters; the maximum is {MAX_QUERY_LENGTH:,}. "
            "Search for fewer words."
        )
    words = map(_strip_punctuation, query.split())
    tokens = [prepare_text(word).replace(SEPARATOR, " ").split() for word in words]
    return [each for each in tokens if any(token.strip(_QUOTES) for token in each)]


def _strip_punctuation(word: str) -> str:
    """Return a word without the punctuation around it; an operator or a smiley is kept."""
    stripped = word.lstrip(_OPENING).rstrip(_CLOSING)
    return word if _ONLY_SYMBOLS.fullmatch(stripped) else stripped


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
    is_prefix = can_be_prefix and _WORD_END.search(tokens[-1]) is not None
    return f'"{text}"{"*" if is_prefix else ""}'


def parse_excerpt(marked: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the text of a marked excerpt, and the start and end offsets of its matches.

    A match has the whole of an emoji and of a letter with its marks.
    """
    pieces = _MARKS.split(marked.replace(SEPARATOR, ""))
    text = "".join(pieces)
    spans: list[tuple[int, int]] = []
    position, hit_end = len(pieces[0]), -1
    for hit, rest in zip(pieces[1::2], pieces[2::2], strict=True):
        start, end = _expand(text, position, position + len(hit))
        if spans and start <= spans[-1][1] and start != hit_end:
            start = spans.pop()[0]
        spans.append((start, end))
        hit_end = position + len(hit)
        position += len(hit) + len(rest)
    return text, tuple(spans)


def _expand(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span with the characters that are drawn together with its first and last one."""
    while 0 < start < end and _ZWJ in (text[start - 1], text[start]):
        start -= 1
    while 0 < end < len(text) and (
        is_mark(text[end]) or text[end] in _JOINED or text[end - 1] == _ZWJ
    ):
        end += 1
    return start, end


def indexed_form(text: str) -> str:
    """Return a text as excerpts have it."""
    return prepare_text(text).replace(SEPARATOR, "")
