"""The parser of terminal input, which no sequence can end."""

import logging
import re
from collections.abc import Generator, Iterable
from time import monotonic

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._parser import Peek1, Read1, TokenCallback
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.geometry import Size
from textual.keys import Keys
from textual.message import Message

from koel_tui.logs import error_name
from koel_tui.ui.internals.key_reports import (
    JOINERS,
    last_script,
    parse_escaped_character,
    parse_key_report,
    split_long_reports,
)
from koel_tui.ui.internals.key_sequences import is_registered, registered_alt_key
from koel_tui.ui.internals.keyboard_layouts import LIGATURES, script_of

_log = logging.getLogger(__name__)

_MAX_SIZE = Size(2000, 1000)
"""The largest terminal in columns and rows that a report of its size can name."""
_MAX_POSITION = 100_000.0
"""The largest coordinate of the mouse, also in pixels."""
_OPEN_REPORT = re.compile(r"\x1b\[[0-9:;]+\Z")
"""The beginning of a key report."""
_ALT_CURSOR_KEY = re.compile(r"\x1b\x1b[\[O]([ABCDFH])")
_ALT_EDITING_KEY = re.compile(r"\x1b\x1b\[([1-8])~")
"""Keys with alt as PuTTY, rxvt and Terminal of macOS send them: escape before the key."""
_MAX_REPORT = 10_000
"""The length of a report above which the rest is dropped."""
_SILENCE = 1.0
"""Seconds without input after which the text of a paste without an end marker is delivered."""
_SINGLE_KEY = re.compile(
    r"\x1b?[^\x1b]|\x1b{1,2}|\x1b{1,2}(?:O[@-~]|\[[0-?]{0,64}[ -/]{0,8}[@-~])", re.DOTALL
)
_QUIT_KEYS = re.compile(
    r"(?:[\x03\x11]|\x1b\[[\d:]{1,32};(?:5|69|133|197)(?::[12])?(?:;[\d:]{0,64})?u"
    r"|\x1b\[27;5;\d{1,8}~){1,64}"
)
"""Ctrl+c and ctrl+q, also repeated: bytes, or reports of keys with ctrl and with any lock key."""


class InputParser(XTermParser):
    """Textual's parser, with its own reading of key reports.

    Textual ends the app at numbers that it does not expect, for instance alternate keys. It also
    does not know layouts without Latin letters.
    """

    def __init__(self, debug: bool = False) -> None:
        self._last_script = ""
        self._pastes = PasteFilter()
        self._open_report = ""
        self._fed_at = monotonic()
        super().__init__(debug)

    def feed(self, data: str) -> Iterable[Message]:
        """Parse `data`; empty data means the end."""
        if not data:
            return super().feed("")
        if not _QUIT_KEYS.fullmatch(data):  # a held key must not extend a paste without an end
            self._fed_at = monotonic()
        filtered = self._split_reports(self._pastes.filter(data))
        for letters, ligature in LIGATURES.items():
            filtered = filtered.replace(f"\x1b{letters}", f"\x1b{ligature}")
        filtered = _ALT_CURSOR_KEY.sub("\x1b[1;3\\1", filtered)
        filtered = _ALT_EDITING_KEY.sub("\x1b[\\1;3~", filtered)
        return super().feed(filtered) if filtered else ()

    def tick(self) -> Iterable[Message]:
        """Return what a pause completes. The driver calls this every 0.1 s."""
        yield from super().tick()
        if self._pastes.awaits_end and monotonic() - self._fed_at >= _SILENCE:
            yield from super().feed(self._pastes.stall())

    def _split_reports(self, data: str) -> str:
        """Return `data` with short key reports. An incomplete one is kept."""
        data, self._open_report = self._open_report + data, ""
        if opened := _OPEN_REPORT.search(data):
            data, self._open_report = data[: opened.start()], opened[0][:_MAX_REPORT]

        return split_long_reports(data)

    def parse(self, token_callback: TokenCallback[Message]) -> Generator[Read1 | Peek1, str, None]:
        """Parse characters that are sent to this generator. An error drops one sequence."""

        def deliver(message: Message) -> None:
            if isinstance(message, events.Resize) and not self._accept_size(message):
                return
            if isinstance(message, events.Key) and message.character in JOINERS:
                message = events.Paste(message.character)  # fields would not insert the key
            token_callback(message)

        while not self.is_eof:
            try:
                yield from super().parse(deliver)
            except Exception as error:
                _log.warning("Dropped terminal input: %s", error_name(error))

    def _accept_size(self, resize: events.Resize) -> bool:
        """Return whether a reported size is usable. Drop it for the mouse if it is not."""
        cells, pixels = resize.size, resize.pixel_size
        usable = 0 < cells.width <= _MAX_SIZE.width and 0 < cells.height <= _MAX_SIZE.height
        if not usable or not pixels:  # Textual divides by both
            self.terminal_size = None
        return usable

    def parse_mouse_code(self, code: str) -> Message | None:
        """Return the event of the mouse, None if its position cannot be on a screen."""
        x, y = self.last_x, self.last_y
        event = super().parse_mouse_code(code)
        if isinstance(event, events.MouseEvent) and max(event.x, event.y) > _MAX_POSITION:
            self.last_x, self.last_y = x, y
            return None
        return event

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        """Return the keys of a character or of a sequence."""
        if len(sequence) == 1:
            self._last_script = script_of(sequence) or self._last_script
        report = parse_escaped_character(sequence, self._last_script)
        if report is not None:
            keys = report.keys(self._last_script)
            # A user's own key on a sign, as alt+., goes before a key without any function.
            is_chosen = bool(registered_alt_key(sequence[1:]))
            if not is_chosen or any(is_registered(key.key) for key in keys):
                return keys
        return super()._sequence_to_key_events(sequence, alt)

    def _parse_extended_key(  # type: ignore[override]  # Textual caches it, with a wrapper
        self, sequence: str
    ) -> list[events.Key] | None:
        report = parse_key_report(sequence)
        if report is None:
            return None
        self._last_script = last_script(report, self._last_script)
        if name := registered_alt_key(report.sign_with_alt):
            return [events.Key(name, None)]
        keys = report.keys(self._last_script)
        if keys:
            return keys
        # Without any key, Textual would take the sequence for an incomplete one.
        known = sequence in ANSI_SEQUENCES_KEYS and not report.released
        return None if known else [events.Key(Keys.Ignore, sequence)]


class PasteFilter:
    """Replaces escape characters in pastes. Textual would execute what follows as keys.

    A paste without an end marker is delivered after a pause; then a single key ends it. Otherwise
    all later keys would be text of the paste.
    """

    def __init__(self) -> None:
        self._in_paste = False
        self._is_stalled = False
        """True after a pause in a paste without an end marker."""
        self._tail = ""

    @property
    def awaits_end(self) -> bool:
        """True in a paste of which text was not delivered."""
        return self._in_paste and not self._is_stalled

    def stall(self) -> str:
        """Return the end of the part of a paste that came before a pause."""
        self._is_stalled = True
        return BRACKETED_PASTE_END

    def filter(self, data: str) -> str:
        """Return `data` with a visible mark for each escape character in a paste."""
        parts = []
        if self._in_paste and self._is_ended_by(data):
            self._in_paste = self._is_stalled = False
            self._tail = ""
        elif self._is_stalled:
            parts.append(BRACKETED_PASTE_START)  # the rest of the paste is another paste
            self._is_stalled = False
        while data:
            part, data = self._paste(data) if self._in_paste else self._keys(data)
            parts.append(part)
        return "".join(parts)

    def _is_ended_by(self, data: str) -> bool:
        """Return whether `data` is keys after a paste without an end marker."""
        if not self._is_stalled or BRACKETED_PASTE_END in self._tail + data:
            return False
        is_key = _SINGLE_KEY.fullmatch(data) or _QUIT_KEYS.fullmatch(data)
        return bool(is_key) or data.startswith(BRACKETED_PASTE_START)

    def _keys(self, data: str) -> tuple[str, str]:
        """Return the data up to the start of a paste, and the rest."""
        seen = len(self._tail)
        start = (self._tail + data).find(BRACKETED_PASTE_START)
        if start < 0:
            self._tail = (self._tail + data)[1 - len(BRACKETED_PASTE_START) :]
            return data, ""
        self._in_paste, self._tail = True, ""
        end = start + len(BRACKETED_PASTE_START) - seen
        return data[:end], data[end:]

    def _paste(self, data: str) -> tuple[str, str]:
        """Return the pasted text including its end, and the rest. An incomplete end is kept."""
        data, self._tail = self._tail + data, ""
        text, end, rest = data.partition(BRACKETED_PASTE_END)
        if end:
            self._in_paste = False
        else:
            size = next((n for n in range(5, 0, -1) if text.endswith(BRACKETED_PASTE_END[:n])), 0)
            text, self._tail = text[: len(text) - size], text[len(text) - size :]
        return text.replace("\x1b", "␛") + end, rest
