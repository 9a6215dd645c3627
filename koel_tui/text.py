"""Text sanitizing: `repair` for input, `safe_text` for output.

Text is stored as received, except for broken surrogates. Terminal output goes through `safe_text`
(or `safe_line`), because neither Textual nor Rich removes escape sequences.
"""

import re
import unicodedata
from collections.abc import Sequence

_MAX_COMBINING_MARKS = 8
_COMBINING_RUN = re.compile(
    r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{9,}"
)
_BIDI_NAMES = {
    0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO",
    0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI",
}  # fmt: skip


def _terminal_map() -> dict[int, str]:
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    table[0x7F] = "\u2421"
    table.update(dict.fromkeys(range(0x80, 0xA0), "\ufffd"))
    table.update({code: f"\u27e6{name}\u27e7" for code, name in _BIDI_NAMES.items()})
    table.update(dict.fromkeys(range(0xE0000, 0xE0080), ""))
    table.update(dict.fromkeys((0x85, 0x2028, 0x2029), "\n"))
    table.update(dict.fromkeys((*range(0xD800, 0xE000), 0xFDD0), "\ufffd"))
    return table


_TERMINAL = _terminal_map()
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_RETURN_BEFORE_LINE_END = re.compile(r"(?<!\r)\r++(?=\n|\Z)")  # linear for any run
_EMOJI_JOINER = "\u200d"
_JOINERS = ("\u200c", _EMOJI_JOINER)
_EMOJI_SUFFIXES = ("\ufe0f", "\u20e3")
_VISIBLE_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u08e2")
_FLAG_HALVES = "".join(map(chr, range(0x1F1E6, 0x1F200)))
_MAX_CLUSTER = 16
"""Maximum characters of an emoji or letter that are removed where a line is cut."""
_COMPATIBLE = (
    "<wide>", "<narrow>", "<font>", "<initial>", "<medial>", "<final>", "<isolated>",
)  # fmt: skip
"""Kinds of characters that are another form of a letter; a power like ² is not such a form."""
_REMOVED = dict.fromkeys((*_TERMINAL, *map(ord, "\t\n")))


def repair(text: str) -> str:
    """Return `text` with paired surrogate halves joined and lone ones replaced.

    A server that splits UTF-16 in the middle of a pair sends two lone halves; concatenated text is
    repaired without loss. Everything else, including control characters, is kept.
    """
    if text.isascii() or _SURROGATE.search(text) is None:
        return text  # no copy, because a text may be large
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def safe_text(text: str) -> str:
    """Return `text` sanitized for a terminal: no control bytes, no hidden direction changes.

    Each character is mapped independently, so text may be split anywhere before the call. Escape
    becomes a visible symbol (U+2400 block), C1 controls U+FFFD, direction controls a visible name;
    tag characters are removed, exotic line ends become newlines, and a run of combining marks is
    cut to 8. A carriage return before a newline, or at the end of the text, where the newline may
    follow in the next part, is removed; another one becomes a visible symbol.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\r" in text:
        text = _RETURN_BEFORE_LINE_END.sub("", text)
    return _COMBINING_RUN.sub(lambda run: run[0][:_MAX_COMBINING_MARKS], text.translate(_TERMINAL))


def safe_input(text: str) -> str:
    """Return pasted or externally edited text, repaired, sanitized and with `\\n` line ends."""
    return safe_text(repair(_LINE_END.sub("\n", text)))


def drop_controls(text: str) -> str:
    """Return `text` without tabs, newlines and the characters that `safe_text` replaces.

    For text that is already laid out on a line: zero-width characters go, nothing moves.
    """
    return text if text.isprintable() else text.translate(_REMOVED)


def safe_line(text: str, limit: int = 200) -> str:
    """Return `text` as one sanitized line of at most `limit` characters, for titles and messages.

    Stricter than `safe_text`: whitespace runs become one space, and invisible format characters
    are removed, except joiners where a script or an emoji needs them.
    """
    line = drop_format_characters(" ".join(safe_text(text[: limit * 8]).split()))
    return line if len(line) <= limit else f"{cut_letters(line, limit - 1)}…"


def drop_format_characters(line: str) -> str:
    """Return `line` without invisible characters, except joiners in their place.

    Persian and Indic words change without their joiners, and a joined emoji falls apart.
    """
    if line.isascii():
        return line
    kept: list[str] = []
    for index, char in enumerate(line):
        is_format = unicodedata.category(char) == "Cf" and char not in _VISIBLE_FORMATS
        if not is_format or _is_joiner(char, "".join(kept[-1:]), line[index + 1 : index + 2]):
            kept.append(char)
    return "".join(kept)


def _is_joiner(char: str, before: str, after: str) -> bool:
    if char not in _JOINERS or not before or not after:
        return False
    if unicodedata.category(before) in ("Lo", "Mn", "Mc") and before not in _EMOJI_SUFFIXES:
        return True
    is_emoji = before in _EMOJI_SUFFIXES or unicodedata.category(before) in ("So", "Sk")
    return char == _EMOJI_JOINER and is_emoji and unicodedata.category(after) in ("So", "Sm")


def cut_letters(line: str, length: int) -> str:
    """Return the first `length` characters without a part of an emoji or of a letter at the end."""
    if length >= len(line):
        return line
    end = length
    while 0 < end > length - _MAX_CLUSTER and (
        unicodedata.category(line[end]) in ("Mn", "Mc", "Me", "Cf", "Sk")
        or line[end - 1] == _EMOJI_JOINER
    ):
        end -= 1
    halves = end - len(line[:end].rstrip(_FLAG_HALVES))
    return line[: end - halves % 2]


class _Forms(dict[int, str]):
    """A table for `str.translate` that is filled on demand: full-width letters, ligatures."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.decomposition(char).partition(" ")[0]
        is_letter = unicodedata.category(char)[0] in "LN" or 0x2E80 <= code < 0x2FE0  # radicals
        is_form = kind in _COMPATIBLE or (kind == "<compat>" and is_letter)
        self[code] = unicodedata.normalize("NFKC", char) if is_form else char
        return self[code]


# Hyphens that do not break; apostrophes of Ukrainian and Hebrew that are letters in Unicode.
_FORMS = _Forms({0x2010: "-", 0x2011: "-", 0x02BC: "\u2019", 0x05F3: "'", 0x05F4: '"'})
_INVISIBLE = re.compile("[\u00ad\u0640\u200b\u2060\ufeff]")
"""Characters that a text can have or lack: soft hyphens, the elongation of Arabic letters."""


class _Seen(dict[int, str]):
    """The table of forms without what is not seen, so that a text is translated only once."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        is_seen = unicodedata.category(char) != "Cf" and not _INVISIBLE.match(char)
        self[code] = _FORMS[code] if is_seen and char != _EMOJI_SUFFIXES[0] else ""
        return self[code]


_SEEN = _Seen()
_KEY_FORMS = {
    0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x0130: "i", 0x0131: "i",
}  # fmt: skip
"""Straight quotes, and the Turkish letters i, of which each language has another capital."""


def drop_invisible(text: str) -> str:
    """Return `text` without characters that are not seen and do not change a word."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def normalize(text: str) -> str:
    """Return `text` in composed Unicode, with the plain form of full-width letters and ligatures.

    For search and lookup: macOS and some input methods write the same text with other characters.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text.translate(_FORMS))


def match_key(text: str) -> str:
    """Return `text` for a comparison that ignores case, Unicode form and runs of spaces.

    Invisible characters are ignored too: a title is shown without them.
    """
    if text.isascii():
        return " ".join(text.casefold().split())
    plain = unicodedata.normalize("NFC", text.translate(_SEEN)).translate(_KEY_FORMS)
    folded = normalize(plain.casefold()).replace("i\u0307", "i")
    return " ".join(folded.split())


def search_words(typed: str) -> list[str]:
    """Return the words of a search in the form that `has_words` compares."""
    return match_key(typed).split()


def has_words(text: str, words: Sequence[str]) -> bool:
    """Return whether a text contains all these `search_words`, ignoring case and Unicode form."""
    if not words:
        return True
    text = match_key(text)
    return all(word in text for word in words)
