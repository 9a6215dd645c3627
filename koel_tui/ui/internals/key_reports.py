"""Key reports: the sequences of the kitty keyboard protocol and of xterm's modifyOtherKeys."""

import re
from dataclasses import dataclass

from textual._keyboard_protocol import FUNCTIONAL_KEYS, MODIFIER_FUNCTIONAL_KEYS
from textual.events import Key

from koel_tui.ui.internals.key_sequences import key_of_character
from koel_tui.ui.internals.keyboard_layouts import latin_key, script_of, shifted_key

JOINERS = frozenset("\u200c\u200d")
"""Characters without a width that words and emoji need. Textual takes them for control keys."""

_REPORT = re.compile(r"\x1b\[([0-9:]*)(?:;([0-9:]*))?(?:;([0-9:]*))?;?([u~A-FHPQRS])")
_LONG_TEXT = re.compile(r"\x1b\[([0-9:]*;[0-9:]*);([0-9]*:[0-9:]+)u")
"""A report with a text of several characters."""
_TOO_LONG = re.compile(r"\x1b\[[0-9:;]{30,}[@-~]")
"""A report that Textual would type into the prompt: it has more than 32 characters."""
_MODIFY_OTHER_KEYS = 27
"""The first number of a report of modifyOtherKeys: 27, modifiers, character."""
_SHIFT, _ALT, _CTRL = 1, 2, 4
_MODIFIERS = {"shift": 1, "alt": 2, "ctrl": 4, "super": 8, "hyper": 16, "meta": 32}
_ALL_MODIFIERS = 63
"""The bits of all modifiers, without caps lock and num lock."""
_CAPS_LOCK = 64
_MAX_DIGITS = 9
"""More than the digits of any number in a report."""
_ESCAPE = "\x1b"
_OPENERS = "[]NOPX^_\\"
"""The characters that begin another sequence after escape."""
_RELEASED = 3
_CHARACTERS = {"backspace": "\x7f", "enter": "\r", "tab": "\t"}
"""Keys with a character that is not in the report."""
_WITHOUT_REPORTS = {
    "left_square_bracket": ("escape", 0),
    "space": ("@", _CTRL),
}
"""Keys with ctrl, and the key that every terminal sends for them without key reports."""


@dataclass(frozen=True, slots=True)
class KeyReport:
    """One report. `code` is the key's code point or number; its last character is `end`.

    `shifted` is the character of the key with shift, `position` the one on the standard layout.
    `modifiers` are bits, without those of caps lock and num lock. `text` has only printable
    characters.
    """

    code: int
    shifted: str
    position: str
    modifiers: int
    released: bool
    text: str
    end: str
    caps_lock: bool = False

    @property
    def functional_name(self) -> str:
        """Textual's name of a key without a character, like "up"; empty for other keys."""
        return FUNCTIONAL_KEYS.get(f"{self.code}{self.end}", "")

    @property
    def letter(self) -> str:
        """The character of the key on the present layout; empty if it has none."""
        return _character(self.code) if self.end == "u" and not self.functional_name else ""

    @property
    def sign_with_alt(self) -> str:
        """The sign that the key types with shift, if alt and shift are pressed; else empty.

        Without key reports it is the name of the key: alt+?, and not alt+shift+slash.
        """
        is_pressed = self.modifiers == _ALT | _SHIFT and not self.released
        is_sign = not self.shifted.isalnum() and script_of(self.letter) in ("", "LATIN")
        return self.shifted if is_pressed and is_sign else ""

    @property
    def _is_shifted_digit(self) -> bool:
        """True if the key types a digit with shift, as on AZERTY."""
        return self.shifted.isdecimal() and not self.position.isalpha()

    def keys(self, last_script: str = "") -> list[Key]:
        """Return the keys that it means; none for a released or unknown key."""
        if self.released:
            return []
        shortcut = self.modifiers & _CTRL and not self.modifiers & _ALT
        if self.modifiers & ~_SHIFT and self.text in (
            self.letter, self.letter.upper(), self.shifted,
        ):  # fmt: skip
            shortcut = True  # the key alone types this text, so a modifier did not write it
        text = "" if shortcut else self.text or self._typed()
        keys = (self._key(character, last_script) for character in text or [""])
        return [key for key in keys if key is not None]

    def _typed(self) -> str:
        """Return the text of a key for a terminal that does not send it."""
        if self.modifiers & ~_SHIFT:
            return ""
        if self.letter == " ":
            return self.letter
        if self.caps_lock and self.letter.isalpha():
            return self.letter if self.modifiers else self.letter.upper()
        if not self.modifiers:
            return self.letter
        return self.shifted or (self.letter.upper() if self.letter.isalpha() else "")

    def _key(self, text: str, last_script: str) -> Key | None:
        modifiers = self.modifiers
        name = self.functional_name
        if text:  # alt and AltGr (ctrl and alt) wrote it
            modifiers &= ~(_ALT | _CTRL) & (~0 if text.isspace() else ~_SHIFT)
        if not name:
            letter = text or self.letter
            if not text and modifiers & ~_SHIFT:
                if modifiers & _SHIFT and self._is_shifted_digit:
                    letter, modifiers = self.shifted, modifiers & ~_SHIFT
                elif not self.position and (key := shifted_key(letter, last_script)):
                    letter, modifiers = key, modifiers | _SHIFT
                elif letter.lower() != letter and len(letter.lower()) == 1:
                    letter, modifiers = letter.lower(), modifiers | _SHIFT
                letter = letter and latin_key(letter, self.position, last_script)
            if not letter:
                return None
            name = key_of_character(letter)
            if modifiers == _CTRL:
                name, modifiers = _WITHOUT_REPORTS.get(name, (name, modifiers))
        names = [] if name in MODIFIER_FUNCTIONAL_KEYS else _names(modifiers)
        character = text or (None if self.modifiers else _CHARACTERS.get(name))
        return Key("+".join([*names, name]), character)


def parse_key_report(sequence: str) -> KeyReport | None:
    """Return the report in an escape sequence; None if it is not a complete one."""
    match = _REPORT.fullmatch(sequence)
    if match is None:
        return None
    codes, modifiers, text, end = match.groups(default="")
    code, shifted, position, *_ = *_numbers(codes), 0, 0, 0
    bits, event, *_ = *_numbers(modifiers), 0, 0
    if (code, end) == (_MODIFY_OTHER_KEYS, "~"):
        code, text, end = _numbers(text)[0], "", "u"
        shifted = code  # it is the character with shift already
    return KeyReport(
        code=code if codes else 1,  # "ESC [ A" is short for "ESC [ 1 A"
        shifted=_character(shifted),
        position=_character(position),
        modifiers=max(bits - 1, 0) & _ALL_MODIFIERS,
        released=event == _RELEASED,
        text="".join(map(_character, _numbers(text))),
        end=end,
        caps_lock=bool(max(bits - 1, 0) & _CAPS_LOCK),
    )


def split_long_reports(data: str) -> str:
    """Return `data` with one report for each character of a text, as of an input method.

    Reports that are too long for another reason are dropped.
    """

    def split(report: re.Match[str]) -> str:
        text = filter(None, map(_character, _numbers(report[2])))
        parts = [f"\x1b[{report[1]};{ord(character)}u" for character in text]
        return "".join(parts) or f"\x1b[{report[1]}u"

    return _TOO_LONG.sub("", _LONG_TEXT.sub(split, data))


def parse_escaped_character(sequence: str, last_script: str) -> KeyReport | None:
    """Return the report for escape and a character of a layout without Latin letters, else None.

    Terminals without a keyboard protocol, for instance tmux, send keys with alt in this form.
    """
    character = sequence[1:]
    if len(sequence) != 2 or sequence[0] != _ESCAPE or character in _OPENERS:
        return None
    is_known = latin_key(character, "", last_script) != character or character.lower() != character
    if not (is_known or shifted_key(character, last_script)) or script_of(character) == "LATIN":
        return None
    return KeyReport(ord(character), "", "", _ALT, released=False, text="", end="u")


def last_script(report: KeyReport, before: str) -> str:
    """Return the script of the last letter, which was `before` until this report."""
    return script_of(report.letter) or before if report.letter else before


def _numbers(field: str) -> list[int]:
    return [int(part[:_MAX_DIGITS] or 0) for part in field.split(":")]


def _character(code: int) -> str:
    """Return the printable character of a code point; empty if there is none."""
    character = chr(code) if 0 < code <= 0x10FFFF else ""
    return character if character.isprintable() or character in JOINERS else ""


def _names(modifiers: int) -> list[str]:
    return sorted(name for name, bit in _MODIFIERS.items() if modifiers & bit)
