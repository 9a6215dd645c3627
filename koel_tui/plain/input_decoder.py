"""Decoding of the bytes from a terminal into keys, typed text and pastes. No I/O, no clock."""

import codecs
import re
from dataclasses import dataclass

PASTE_START = "\x1b[200~"
PASTE_END = "\x1b[201~"

_END_TIMEOUT = 0.05
"""Seconds without input after which a paste whose end marker has arrived is complete."""
_SILENCE = 1.0
"""Seconds without input after which the text of a paste without an end marker is inserted."""
_ESCAPE_TIMEOUT = 0.5
"""Seconds without input after which a single escape character is the escape key."""
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
_TOKEN = re.compile(
    r"(?P<incomplete>\x1b(?:O|\[\[?[0-?]{0,64}[ -/]{0,8})?\Z)"
    r"|\x1b(?:\[\[[A-E]|\[(?P<csi>[0-?]{0,64}[ -/]{0,8}[@-~])|O(?P<ss3>[@-~])|\[|O)"
    r"|\x1b(?P<alt>[^\x00-\x07\x09-\x1f])"
    r"|\x1b"
    r"|(?P<control>[\x00-\x08\x0a-\x1f\x7f])"
    r"|(?P<text>[^\x00-\x08\x0a-\x1f\x7f]+)"
)
"""One key or a run of text. A tab is text."""
_ENTER_AND_NEXT_PASTE = re.compile(f"{re.escape(PASTE_END)}[\r\n]{re.escape(PASTE_START)}")
"""The place between two pastes with a line end, which may be text of one paste."""
_IMMEDIATE_KEYS = re.compile("[\x03\x1a\x1c]+")
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
        """False if the last bytes are no reason to wait longer for a pause: a held ctrl+c."""

    @property
    def timeout(self) -> float | None:
        """The seconds without input after which `flush` must be called; None if not at all."""
        if self._unmarked:
            return _UNMARKED_TIMEOUT
        if self._incomplete == "\x1b":
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
        if self._incomplete == "\x1b":
            self._incomplete = ""
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
        text, self._incomplete = self._incomplete + text, ""
        events: list[InputEvent] = []
        for token in _TOKEN.finditer(text):
            if token["incomplete"] is not None:
                self._incomplete = token["incomplete"]
            elif token[0] == PASTE_START:
                self._has_paste_markers = True  # from here on, also if it was not expected to
                self._is_in_paste, self._parts, self._tail = True, [], ""
                self._add(text[token.end() :])
                break
            elif token["text"] is not None:
                events.append(Typed(token["text"]))
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
    else:
        name = _SEQUENCE_KEYS.get(token["csi"] or token["ss3"] or "")
    return None if name is None else Key(name)
