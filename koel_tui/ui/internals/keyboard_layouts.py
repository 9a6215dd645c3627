"""Keyboard layouts without Latin letters: which key of the standard layout is at a position.

A shortcut is named by a Latin letter. On other layouts its key is the one at the same position.
"""

import unicodedata
from types import MappingProxyType

_ROWS = (
    # Russian, then what Ukrainian and Belarusian have in other places
    ("йцукенгшщзхъфывапролджэячсмитьбюё", "qwertyuiop[]asdfghjkl;'zxcvbnm,.`"),
    ("ії", "s]"),
    ("ў", "o"),
    # Greek
    ("ςερτυθιοπασδφγηξκλζχψωβνμ", "wertyuiopasdfghjklzxcvbnm"),
    # Hebrew (SI-1452)
    ("קראטוןםפשדגכעיחלךףזסבהנמצתץ", "ertyuiopasdfghjkl;zxcvbnm,."),
    # Arabic (101)
    ("ضصثقفغعهخحجدشسيبلاتنمكطئءؤر\ufefbىةوزظذ", "qwertyuiop[]asdfghjkl;'zxcvbnm,./`"),
    # Thai (Kedmanee)
    ("ๆไำพะ\u0e31\u0e35รนยบล", "qwertyuiop[]"),
    ("ฟหกดเ\u0e49\u0e48าสวง", "asdfghjkl;'"),
    ("ผปแอ\u0e34\u0e37ทมใฝ", "zxcvbnm,./"),
    ("ๅภถ\u0e38\u0e36คตจขช", "1456" + "7890-="),
)
"""Characters of layouts, and the keys of the standard layout at the same positions."""

_STANDARD = MappingProxyType(
    {character: key for row, keys in _ROWS for character, key in zip(row, keys, strict=True)}
)
_PUNCTUATION = MappingProxyType(
    {"HEBREW": {"/": "q", "'": "w"}, "GREEK": {";": "q"}, "THAI": {"/": "2", "-": "3"}}
)
"""By script: the ASCII characters that its layout has at positions of letters and digits.

Latin layouts have them too, so they count only after a letter of that script, or if the terminal
names the position.
"""
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
    if last_script == _LATIN:
        return character
    if position:
        known = (keys.get(character) for keys in _PUNCTUATION.values())
        return position if position in known else character
    return _PUNCTUATION.get(last_script, {}).get(character, character)


def at_position_of(key: str) -> str:
    """Return the keys for a binding of one letter: its position on every layout."""
    return ",".join((key, *characters_at(key)))


def characters_at(key: str) -> str:
    """Return the characters that other layouts have at the position of a Latin key."""
    return "".join(character for character, position in _STANDARD.items() if position == key)
