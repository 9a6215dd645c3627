"""Decoding of the bytes from a terminal into keys, typed text and pastes. No I/O, no clock."""

import codecs
import re
import sys
from dataclasses import dataclass

PASTE_START = "\x1b[200~"
PASTE_END = "\x1b[201~"

_END_TIMEOUT = 0.05
"""Seconds without input after which a paste whose end marker has arrived is complete."""
_SILENCE = 1.0
"""Seconds without input after which the text of a paste without an end marker is inserted."""
_ESCAPE_TIMEOUT = 0.5
"""Seconds without input after which an escape character or an incomplete reply was a key."""
_UNMARKED_TIMEOUT = 0.03
"""Seconds without input after which the bytes of a terminal without paste markers are decoded."""

_CONTROL_KEYS = {
    "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace", "\x01": "home",
    "\x02": "left", "\x03": "interrupt", "\x04": "ctrl+d", "\x05": "end", "\x06": "right",
    "\x0b": "delete to end", "\x0c": "redraw", "\x0e": "down", "\x10": "up", "\x12": "search",
    "\x15": "delete to start", "\x17": "delete word left", "\x19": "yank", "\x1a": "suspend",
    "\x1c": "quit",
}  # fmt: skip
_SEQUENCE_KEYS = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "1~": "home", "7~": "home", "4~": "end", "8~": "end", "3~": "delete",
    "1;5C": "word right", "1;5D": "word left", "1;3C": "word right", "1;3D": "word left",
    "3;5~": "delete word right",
}  # fmt: skip
_ALT_KEYS = {
    "b": "word left", "f": "word right", "d": "delete word right", "\x7f": "delete word left",
    "\x08": "delete word left",
}  # fmt: skip
_ESCAPE_CODE, _TAB_CODE = 27, 9
_KEYPAD_ENTER = "M"
_KEYPAD = dict(zip("XjklmnopqrstuvwxyI", "=*+,-./0123456789\t", strict=True))
"""Characters of the keypad in its application mode, after ESC O."""
_KEY_REPORT = re.compile(
    r"(?P<code>\d{1,7})(?::\d{0,7})?(?::(?P<position>\d{1,7}))?"
    r"(?:;(?P<modifiers>\d{0,3})(?::(?P<event>\d))?)?(?:;[\d:]{0,64})?u"
    r"|27;(?P<modifiers2>\d{1,3});(?P<code2>\d{1,7})~"
)
"""A key as terminals report it in the protocol of kitty, or with modifyOtherKeys of xterm."""
_SHIFT, _ALT, _CTRL = 1, 2, 4
_RELEASED = "3"
_TOKEN = re.compile(
    r"(?P<open>\x1b(?:\[M[^\x00-\x1f]{0,2}|[]P_^X][^\x00-\x1f\x7f]{0,4096}\x1b?)\Z)"
    r"|\x1b(?:\[M[^\x00-\x1f]{3}|[]P_^X][^\x00-\x1f\x7f]{0,4096}(?:\x07|\x1b\\))"
    r"|(?P<incomplete>\x1b(?:O|\[\[?[0-?]{0,64}[ -/]{0,8})?\Z)"
    r"|\x1b(?:\[\[[A-E]|\[(?P<csi>[0-?]{0,64}[ -/]{0,8}[@-~])|O(?P<ss3>[@-~])|\[|O)"
    r"|\x1b(?P<alt>[^\x00-\x07\x09-\x1f])"
    r"|\x1b"
    r"|(?P<control>[\x00-\x08\x0a-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x08\x0a-\x1f\x7f]+)"
)
"""One key, one report of the mouse, one reply of the terminal, or a run of text with tabs."""
_ENTER_AND_NEXT_PASTE = re.compile(f"{re.escape(PASTE_END)}[\r\n]{re.escape(PASTE_START)}")
"""The place between two pastes with a line end, which may be text of one paste."""
_MAX_TYPED = 2000
"""The length of text above which it was not typed. A paste of this length is a placeholder."""
_IMMEDIATE_KEYS = re.compile(r"(?:[\x03\x1a\x1c]|\x1b\[(?:99|122|92);5u)+")
"""Keys that must have an effect soon, also while they are held."""
_INNER_LINE_END = re.compile(r"[\r\n][^\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is not a letter: "enter", "left", "delete word left", …"""

    name: str


@dataclass(frozen=True, slots=True)
class Typed:
    """Text that was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Paste:
    """Text that was pasted, as received."""

    text: str


InputEvent = Key | Typed | Paste


class InputDecoder:
    """A decoder that keeps the text of a paste apart from keys.

    A paste ends at the last end marker before a pause, because some terminals let an end marker
    within the pasted text through, and what follows it must not be typed. A paste without an end
    marker is inserted after a longer pause; then a single key ends it.
    """

    def __init__(self, encoding: str = "utf-8", *, has_paste_markers: bool = True) -> None:
        """Without paste markers, lines that arrive together are a paste, until a marker arrives."""
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._has_paste_markers = has_paste_markers
        self._unmarked: list[str] = []
        """The text since the last pause, from a terminal without paste markers."""
        self._incomplete = ""
        """The beginning of an escape sequence."""
        self._may_be_key = False
        """True if this beginning may also be a complete key: escape, or alt with a letter."""
        self._is_in_paste = False
        self._parts: list[str] = []
        """The text of a paste since its start marker."""
        self._tail = ""
        """The last characters of the paste, which may be the beginning of an end marker."""
        self._is_ended = False
        """True after an end marker in the paste."""
        self._is_stalled = False
        """True after a pause in a paste without an end marker."""
        self.extends_wait = True
        """False if the last bytes do not extend the wait for a pause: a held ctrl+c."""

    @property
    def timeout(self) -> float | None:
        """The seconds without input after which `flush` must be called; None if not at all."""
        if self._unmarked:
            return _UNMARKED_TIMEOUT
        if self._may_be_key:
            return _ESCAPE_TIMEOUT
        if not self._is_in_paste or self._is_stalled:
            return None
        return _END_TIMEOUT if self._is_ended else _SILENCE

    @property
    def is_pasting(self) -> bool:
        """True while the rest of a paste may arrive."""
        return self._is_in_paste or bool(self._unmarked)

    def feed(self, data: bytes) -> list[InputEvent]:
        """Return the events in the next bytes; a paste is returned by `flush`."""
        text = self._decoder.decode(data)
        if not text:
            return []
        self.extends_wait = not (self.is_pasting and _IMMEDIATE_KEYS.fullmatch(text))
        if self._is_stalled and self._is_ended_by(text):
            self._is_in_paste = self._is_stalled = False
        if self._is_in_paste:
            self._add(text)
            return []
        if not self._has_paste_markers:
            self._unmarked.append(text)
            return []
        return self._keys(text)

    def flush(self) -> list[InputEvent]:
        """Return the paste that a pause has completed, and the keys after it."""
        if self._unmarked:
            text, self._unmarked = "".join(self._unmarked), []
            is_paste = PASTE_START not in text and _INNER_LINE_END.search(text)
            return [Paste(text)] if is_paste else self._keys(text)
        if self._may_be_key:
            text, self._incomplete, self._may_be_key = self._incomplete[1:], "", False
            text = "" if text.startswith("[M") else text.rstrip("\x1b")
            return [Typed(text)] if text else []
        if not self._is_in_paste:
            return []
        text, self._parts = "".join(self._parts), []
        if not self._is_ended:
            self._is_stalled = True
            sizes = range(len(PASTE_END) - 1, 0, -1)
            kept = next((size for size in sizes if text.endswith(PASTE_END[:size])), 0)
            text, self._parts = text[: len(text) - kept], [text[len(text) - kept :]]
            return [Paste(text)] if text else []
        self._is_in_paste = self._is_ended = False
        pasted, _, after = text.rpartition(PASTE_END)
        pasted = _ENTER_AND_NEXT_PASTE.sub("\n", pasted)
        parts = pasted.split(PASTE_END + PASTE_START)
        return [*(Paste(part) for part in parts if part), *self._keys(after)]

    def _is_ended_by(self, text: str) -> bool:
        """Return whether text after a pause is a key or another paste, not the rest of a paste."""
        if PASTE_END in self._tail + text:
            return text.startswith(PASTE_START)
        token = _TOKEN.match(text)
        is_key = (
            token is not None
            and token.end() == len(text)
            and (len(text) == 1 or (token["text"] is None and token["incomplete"] is None))
        )
        return is_key or bool(_IMMEDIATE_KEYS.fullmatch(text)) or text.startswith(PASTE_START)

    def _add(self, text: str) -> None:
        """Add text to the paste."""
        self._parts.append(text)
        self._is_stalled = False
        self._is_ended = self._is_ended or PASTE_END in self._tail + text
        self._tail = (self._tail + text)[1 - len(PASTE_END) :]

    def _keys(self, text: str) -> list[InputEvent]:
        """Return the keys and the typed text in `text`, up to the start of a paste."""
        text, self._incomplete, self._may_be_key = self._incomplete + text, "", False
        events: list[InputEvent] = []
        for token in _TOKEN.finditer(text):
            if token["open"] is not None or token["incomplete"] is not None:
                self._incomplete = token[0]
                self._may_be_key = token["open"] is not None or token[0] == "\x1b"
            elif token[0] == PASTE_START:
                self._has_paste_markers = True  # from here on, also if it was not expected to
                self._is_in_paste, self._parts, self._tail = True, [], ""
                self._add(text[token.end() :])
                break
            elif token["text"] is not None:
                is_typed = len(token["text"]) <= _MAX_TYPED
                events.append(Typed(token["text"]) if is_typed else Paste(token["text"]))
            elif (event := _key(token)) is not None:
                events.append(event)
        return events


def _key(token: re.Match[str]) -> InputEvent | None:
    if token["control"] is not None:
        name = _CONTROL_KEYS.get(token["control"])
    elif token["alt"] is not None:
        name = _ALT_KEYS.get(token["alt"])
        if name is None and token["alt"].isprintable():
            return Typed(token["alt"])  # the escape key, and then a letter
    elif token["ss3"] in _KEYPAD:
        return Typed(_KEYPAD[token["ss3"]])
    elif token["ss3"] == _KEYPAD_ENTER:
        name = "enter"
    elif token["csi"] and (report := _KEY_REPORT.fullmatch(token["csi"])):
        return _reported_key(report)
    else:
        name = _SEQUENCE_KEYS.get(token["csi"] or token["ss3"] or "")
    return None if name is None else Key(name)


def _reported_key(report: re.Match[str]) -> InputEvent | None:
    code = int(report["code"] or report["code2"])
    modifiers = max(int(report["modifiers"] or report["modifiers2"] or 1) - 1, 0)
    if report["event"] == _RELEASED or code == _ESCAPE_CODE or code > sys.maxunicode:
        return None
    char = chr(code)
    if modifiers & _CTRL:
        # With another layout, the position names the Latin letter.
        letter = chr(int(report["position"] or 0) % sys.maxunicode) if code > 127 else char
        is_control = "@" <= letter.upper() <= "_"
        name = _CONTROL_KEYS.get(chr(ord(letter.upper()) & 0x1F)) if is_control else None
    elif modifiers & _ALT:
        name = _ALT_KEYS.get(char)
    else:
        name = _CONTROL_KEYS.get(char)
    if name is not None:
        return Key(name)
    text = char.upper() if modifiers & _SHIFT else char
    is_text = not modifiers & _CTRL and (text.isprintable() or code == _TAB_CODE)
    return Typed(text) if is_text else None
