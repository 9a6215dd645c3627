"""Keyboard layouts without Latin letters: which key of the standard layout is at a position.

A shortcut is named by a Latin letter. On other layouts its key is the one at the same position.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from textual.keys import _character_to_key

_ROWS = (
    # Russian, then what Ukrainian and Belarusian have in other places
    ("йцукенгшщзхъфывапролджэячсмитьбюё", "qwertyuiop[]asdfghjkl;'zxcvbnm,.`"),
    ("ієїґ", "s']\\"),
    ("ў", "o"),
    # Greek
    ("ςερτυθιοπασδφγηξκλζχψωβνμ", "wertyuiopasdfghjklzxcvbnm"),
    # Hebrew (SI-1452)
    ("קראטוןםפשדגכעיחלךףזסבהנמצתץ", "ertyuiopasdfghjkl;zxcvbnm,."),
    # Arabic (101)
    ("ضصثقفغعهخحجدشسيبلاتنمكطئءؤر\ufefbىةوزظذ", "qwertyuiop[]asdfghjkl;'zxcvbnm,./`"),
    # Thai (Kedmanee)
    ("ๆไำพะ\u0e31\u0e35รนยบล", "qwertyuiop[]"),
    ("ฟหกดเ\u0e49\u0e48าสวงฃ", "asdfghjkl;'\\"),
    ("ผปแอ\u0e34\u0e37ทมใฝ", "zxcvbnm,./"),
    ("ๅภถ\u0e38\u0e36คตจขช", "1456" + "7890-="),
)
"""Characters of layouts, and the keys of the standard layout at the same positions."""
_SHIFTED_ROWS = (
    # Arabic (101)
    ("\u064e\u064b\u064f\u064c\ufef9إ\u0650\u064d\ufef7أ\u0640", "qwertyasghj"),
    ("\u0651\u0652\ufef5آ", "`xbn"),
    # Thai (Kedmanee)
    ("ฎฑธ\u0e4d\u0e4aณฯญฐฤฆฏโฌ\u0e47\u0e4bษศซ", "ertyuiop[asdfghjkl;"),
    ("ฉฮ\u0e3a\u0e4cฒฬฦฅ\u0e39", "cvbn,./\\6"),
)
"""The same with shift, for layouts without capital letters."""


LIGATURES = MappingProxyType({
    "ل\u0627": "\ufefb", "لآ": "\ufef5", "لأ": "\ufef7", "لإ": "\ufef9",
})  # fmt: skip
"""The two letters that one Arabic key types, and their character."""


def _by_character(rows: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    pairs = (pair for row, keys in rows for pair in zip(row, keys, strict=True))
    return MappingProxyType(dict(pairs))


_STANDARD = _by_character(_ROWS)
_SHIFTED = _by_character(_SHIFTED_ROWS)
_PUNCTUATION = MappingProxyType(
    {
        "CYRILLIC": {".": "/", "'": "`"},
        "GREEK": {";": "q"},
        "HEBREW": {"/": "q", "'": "w", "]": "[", "[": "]", ",": "'", ".": "/", ";": "`"},
        "THAI": {"/": "2", "-": "3", "_": "`"},
    }
)
"""By script: the ASCII characters that its layout has at the positions of other keys.

Latin layouts have them too, so they count only after a letter of that script, or if the terminal
names a position that no Latin layout has for the character.
"""
_SHIFTED_PUNCTUATION = MappingProxyType({
    "ARABIC": {
        "`": "u", "\u2018": "u", "÷": "i", "\u00d7": "o", "؛": "p", "<": "[", ">": "]",
        "]": "d", "[": "f", "،": "k", "/": "l", ":": ";", '"': "'", "~": "z", "}": "c", "{": "v",
        "'": "m", "\u2019": "m", ",": ",", ".": ".", "؟": "/",
    },
    "CYRILLIC": {",": "/"},
    "GREEK": {":": "q"},
    "THAI": {'"': "w", ",": "]", ".": "'", "(": "z", ")": "x", "?": "m"},
})  # fmt: skip
"""The same with shift."""
_NEVER_LATIN = frozenset({("/", "q"), ("'", "w"), ("/", "2"), ("-", "3")})
"""Characters and positions that only the layouts of Hebrew and Thai have."""
_GREEK_Q = (";", "q")
"""A character and position of Greek that one rare Latin layout (Programmer Dvorak) has too."""
_LATIN = "LATIN"
_LAST_LATIN = "\u024f"
"""The last character of the blocks for Latin, which also have signs like ª and µ."""
_NO_SCRIPT = frozenset({"COMBINING", "MODIFIER"})
"""First words of the names of accents, which also Latin layouts have as keys."""


def script_of(character: str) -> str:
    """Return the script of a letter, for example "CYRILLIC"; empty for anything else."""
    if character <= _LAST_LATIN:
        return _LATIN if character.isalpha() else ""
    if not unicodedata.category(character).startswith(("L", "M")):
        return ""
    script = unicodedata.name(character, "").partition(" ")[0]
    return "" if script in _NO_SCRIPT else script


def latin_key(character: str, position: str = "", last_script: str = "") -> str:
    """Return the character that names the key in a shortcut.

    `position` is the character of the key on the standard layout, if the terminal sent it.
    `last_script` is the script of the last letter. Characters of Latin layouts stay.
    """
    script = script_of(character)
    if script and script != _LATIN:
        if position.isascii() and position.isprintable() and position:
            return position
        return _STANDARD.get(character, character)
    if character.isdecimal() and not character.isascii():
        return str(unicodedata.decimal(character))
    key = _PUNCTUATION.get(last_script, {}).get(character, character)
    if not position:
        return key
    pair = (character, position)
    is_certain = pair in _NEVER_LATIN or (pair == _GREEK_Q and last_script != _LATIN)
    return position if is_certain or key == position else character


def shifted_key(character: str, last_script: str = "") -> str:
    """Return the Latin key that types the character with shift on a layout without capitals.

    Empty if there is none, also for capital letters. `last_script` is as in `latin_key`.
    """
    punctuation = _SHIFTED_PUNCTUATION.get(last_script, {})
    return _SHIFTED.get(character) or punctuation.get(character, "")


def at_position_of(key: str) -> str:
    """Return the keys for a binding of one letter: its position on every layout."""
    typed = (character for character, name in _STANDARD.items() if name == key)
    return ",".join([key, *map(_character_to_key, typed)])
