"""A parser that splits a streamed answer into text, thinking and tool calls."""

import hashlib
import re
from collections.abc import Collection, Iterable

from koel_tui.engine.native.answer.thinking_tags import Tags, ThinkingTags
from koel_tui.engine.native.answer.tool_call_parser import (
    BARE,
    TAGGED,
    Call,
    CallFormat,
    EndFinder,
    NoCallError,
    read_calls,
)
from koel_tui.engine.types import TextDelta, ThinkingDelta, ToolCallDelta

Piece = TextDelta | ThinkingDelta | ToolCallDelta
_Kind = Tags | CallFormat

CALL_LIMIT = 65_536
"""The maximum length of a call in characters, tags included; a longer one is text."""

_SPACE = " \t\r\n"
_AFTER_CALL = _SPACE + ";"  # Llama 3 puts semicolons between calls


class OutputSplitter:
    """A streaming parser of one answer; the result does not depend on how the text is split.

    Thinking begins only at the start of the answer, so that a model can write about `<think>`. In
    formats with channels it also begins where a control token opens a channel.

    Whitespace right after a tag belongs to the tag. The possible start of a tag is held back, and a
    call is held back until it is complete. If it is not a tag or a call, it is returned as text.
    """

    def __init__(
        self,
        dialect: ThinkingTags,
        *,
        inside: Tags | None = None,
        begun: bool = False,
        tools: Collection[str] = (),
        call_prefix: str = "",
    ) -> None:
        """`inside` is the block that the prompt leaves open (see `ThinkingTags.left_open`).

        `begun` is whether the prompt ends with text of the answer. Calls are parsed only when
        `tools`, the names of the offered tools, are given. `call_prefix` makes the ids of this
        answer's calls unique.
        """
        self._tools = frozenset(tools)
        self._call_prefix = call_prefix
        forms = TAGGED if tools else ()
        self._opening: dict[str, _Kind] = {BARE.start: BARE} if tools else {}
        self._anywhere: dict[str, _Kind] = {form.start: form for form in forms}
        for tags in dialect.thinking:
            self._opening[tags.start] = tags
            if tags.is_channel:
                self._anywhere[tags.start] = tags
        self.tags = _both_ends((*dialect.thinking, *forms))
        """The tags to find. In many vocabularies some are control tokens, usually without text."""
        self._anywhere_pattern = _pattern(self._anywhere)
        self._opening_pattern = _pattern(self._opening)
        self._buffer = ""
        self._skipped = "" if inside is None else _SPACE
        self._mode: _Kind | None = inside
        self._finder: EndFinder | None = None
        self._spoken = begun  # whether the answer has visible text so far
        self._fed = 0
        self._borders: set[int] = set()  # where control tokens begin in the answer, in characters
        self._calls = 0

    @property
    def calls(self) -> int:
        """The number of tool calls so far."""
        return self._calls

    @property
    def open_thinking(self) -> Tags | None:
        """The tags of the open thinking block; None in text or in a call."""
        return self._mode if isinstance(self._mode, Tags) else None

    def feed(self, text: str, *, control: bool = False) -> list[Piece]:
        """Parse the next text of the answer; return the pieces it completes.

        `control` is whether the text is the spelling of a control token.
        """
        if control:
            self._borders.add(self._fed)
        self._fed += len(text)
        self._buffer += text
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def finish(self) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer."""
        pieces: list[Piece] = []
        rest, self._buffer = self._buffer, ""
        match self._mode:
            case CallFormat() as form:
                self._close_call(pieces, form, rest, ended=False)
            case Tags():
                self._think(pieces, rest)
            case None:
                self._write(pieces, rest)
        return pieces

    def _step(self, pieces: list[Piece]) -> bool:
        """Parse one step of the buffer; return whether there may be more to parse."""
        if self._skipped:
            self._buffer = self._buffer.lstrip(self._skipped)
            if not self._buffer:
                return False
            self._skipped = ""
        match self._mode:
            case CallFormat() as form:
                return self._read_call(pieces, form)
            case Tags() as tags:
                return self._read_thinking(pieces, tags)
            case None:
                return self._read_text(pieces)

    def _read_text(self, pieces: list[Piece]) -> bool:
        text = self._buffer
        if not self._spoken:
            blank = len(text) - len(text.lstrip())
            found = self._opening_pattern.match(text, blank)
            if found:
                return self._open(pieces, found, self._opening)
            if _held(text[blank:], self._opening) == len(text) - blank:
                self._write(pieces, text[:blank])
                self._buffer = text[blank:]
                return False
        found = next(filter(self._opens, self._anywhere_pattern.finditer(text)), None)
        if found:
            return self._open(pieces, found, self._anywhere)
        ready = len(text) - _held(text, self._anywhere)
        self._write(pieces, text[:ready])
        self._buffer = text[ready:]
        return False

    def _opens(self, found: re.Match[str]) -> bool:
        """Return whether a tag is valid at its position."""
        at = self._fed - len(self._buffer) + found.start()
        return isinstance(self._anywhere[found.group()], CallFormat) or at in self._borders

    def _open(self, pieces: list[Piece], found: re.Match[str], kinds: dict[str, _Kind]) -> bool:
        self._write(pieces, self._buffer[: found.start()])
        self._mode = kinds[found.group()]
        if isinstance(self._mode, Tags):
            self._buffer = self._buffer[found.end() :]
            self._skipped = _SPACE
        else:  # a call keeps its tag, because it may have to be returned as text
            self._buffer = self._buffer[found.start() :]
            start = 0 if self._mode is BARE else len(self._mode.start)
            self._finder = EndFinder(self._mode, start)
        return True

    def _read_thinking(self, pieces: list[Piece], tags: Tags) -> bool:
        before, end, after = self._buffer.partition(tags.end)
        if end:
            self._think(pieces, before)
            self._buffer, self._mode, self._skipped = after, None, _SPACE
            return True
        ready = len(self._buffer) - _held(self._buffer, (tags.end,))
        self._think(pieces, self._buffer[:ready])
        self._buffer = self._buffer[ready:]
        return False

    def _read_call(self, pieces: list[Piece], form: CallFormat) -> bool:
        assert self._finder is not None  # noqa: S101 - made together with the mode
        try:
            end = self._finder.end(self._buffer)
        except NoCallError:
            self._give_up(pieces, len(form.start))
            return True
        if end is not None and end <= CALL_LIMIT:
            raw, self._buffer = self._buffer[:end], self._buffer[end:]
            self._mode = None
            self._close_call(pieces, form, raw, ended=True)
            return True
        if len(self._buffer) >= CALL_LIMIT:
            self._give_up(pieces, CALL_LIMIT)
            return True
        return False

    def _give_up(self, pieces: list[Piece], length: int) -> None:
        self._mode = None
        self._write(pieces, self._buffer[:length])
        self._buffer = self._buffer[length:]

    def _close_call(self, pieces: list[Piece], form: CallFormat, raw: str, *, ended: bool) -> None:
        try:
            calls = read_calls(form, raw, ended=ended)
            if form is BARE and calls[0].name not in self._tools:
                raise NoCallError
        except NoCallError:
            self._write(pieces, raw)
            return
        pieces.extend(self._numbered(calls))
        self._skipped = _AFTER_CALL if form.end is None else _SPACE

    def _numbered(self, calls: list[Call]) -> Iterable[ToolCallDelta]:
        for call in calls:
            self._calls += 1
            # Mistral's templates reject ids that are not nine letters and digits.
            digest = hashlib.sha256(f"{self._call_prefix}:{self._calls}".encode())
            yield ToolCallDelta(digest.hexdigest()[:9], call.name, call.arguments)

    def _write(self, pieces: list[Piece], text: str) -> None:
        if text:
            self._spoken = self._spoken or not text.isspace()
            pieces.append(TextDelta(text))

    def _think(self, pieces: list[Piece], text: str) -> None:
        if text:
            pieces.append(ThinkingDelta(text))


def _both_ends(kinds: Iterable[_Kind]) -> tuple[str, ...]:
    return tuple(tag for kind in kinds for tag in (kind.start, kind.end) if tag)


def _pattern(tags: Iterable[str]) -> re.Pattern[str]:
    # Without tags nothing may match, but an empty pattern matches everywhere.
    return re.compile("|".join(map(re.escape, tags)) or r"(?!)")


def _held(text: str, tags: Iterable[str]) -> int:
    """Return the number of characters at the end of `text` that may begin a tag."""
    return max(
        (
            length
            for tag in tags
            for length in range(1, min(len(tag) - 1, len(text)) + 1)
            if text.endswith(tag[:length])
        ),
        default=0,
    )
