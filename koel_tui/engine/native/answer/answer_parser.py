"""A parser that splits a streamed answer into text, thinking and tool calls."""

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping

from koel_tui.engine.native.answer.markdown_code import TagsInCode
from koel_tui.engine.native.answer.thinking_tags import Tags, ThinkingTags
from koel_tui.engine.native.answer.tool_call_parser import (
    BARE,
    TAGGED,
    Call,
    CallFormat,
    EndFinder,
    NoCallError,
    parse_calls,
    to_call,
)
from koel_tui.engine.types import TextDelta, ThinkingDelta, ToolCallDelta

Piece = TextDelta | ThinkingDelta | ToolCallDelta
_Kind = Tags | CallFormat

MAX_CALL_CHARACTERS = 65_536
"""The maximum length of a call in characters, tags included; a longer one is text."""

_SPACE = " \t\r\n"
_QUOTES = '`"'
_BRACKETS = {
    "(": ")", "[": "]", "{": "}", "\u201c": "\u201d", "\u201e": "\u201c", "\u2018": "\u2019",
    "\u201a": "\u2018", "\u00ab": "\u00bb", "\u300c": "\u300d", "\u300e": "\u300f",
}  # fmt: skip
"""The closing mark of each mark that only opens."""
_OPENING_APOSTROPHE = re.compile(r"(?:^|[\s(\[{=,:])'$")
_LINE_LENGTH = 500
"""Number of characters of a line in which an open quotation mark is found."""
_MAX_SPAN = 200
"""Number of characters after a tag in which the end of its code span is found."""
_AFTER_WORD = " \t,.:;)"
"""The characters after a tag that an answer begins with as a word: `<think> is a tag`."""
_AFTER_CALL = _SPACE + ";"  # Llama 3 puts semicolons between calls


class AnswerParser:
    """A streaming parser of one answer; the result does not depend on how the text is split.

    Thinking begins only at the start of the answer, so that a model can write about `<think>`. In
    formats with channels it also begins where a control token opens a channel. An end tag in
    quotation marks or code, such as `</think>` or `<think>…</think>`, does not end the thinking.

    Whitespace right after a tag belongs to the tag. The possible start of a tag is held back, and a
    call is held back until it is complete. If it is not a tag or a call, it is returned as text.
    """

    def __init__(
        self,
        thinking_tags: ThinkingTags,
        *,
        open_tags: Tags | None = None,
        begun_thinking: str = "",
        begun_text: str = "",
        tools: Collection[str] = (),
        call_prefix: str = "",
    ) -> None:
        """`open_tags` is the block that the prompt leaves open (see `ThinkingTags.find_open_tags`).

        `begun_thinking` is the thinking in that block, `begun_text` the text of the answer with
        which the prompt ends. Calls are parsed only for `tools`, the names of the offered tools.
        `call_prefix` makes the ids of the calls unique.
        """
        has_text = bool(begun_text.strip())
        self._tools, self.offers_tools = frozenset(tools), bool(tools)
        self._call_prefix = call_prefix
        forms = TAGGED if tools else ()
        self._opening: dict[str, _Kind] = {BARE.start: BARE} if tools else {}
        self._anywhere: dict[str, _Kind] = {each.start: each for each in forms}
        for tags in thinking_tags.thinking:
            self._opening[tags.start] = tags
            if tags.is_channel:
                self._anywhere[tags.start] = tags
        self._answer_tags = {tags.start: tags for tags in thinking_tags.answer}
        self._opening |= self._answer_tags
        has_end = has_text and thinking_tags.answer  # the end tag is not shown
        self._answer_end = thinking_tags.answer[0].end if has_end else ""
        quotes = tuple(each.quote for each in forms if each.quote)
        self.tags = _all_tags((*thinking_tags.thinking, *forms)) + quotes
        """The tags to find. In many vocabularies some are control tokens, usually without text."""
        self._anywhere_pattern = _pattern(self._anywhere)
        self._opening_pattern = _pattern(self._opening)
        self._buffer = ""
        self._skipped = "" if open_tags is None or begun_thinking else _SPACE
        self._mode: _Kind | None = open_tags
        self._finder: EndFinder | None = None
        self._has_text = has_text  # whether the answer has visible text so far
        self._fed_length = self._calls = 0
        self._control_positions: set[int] = set()
        """The positions in the answer at which control tokens begin, in characters."""
        self._line = ""  # the last line of the pieces so far
        self._code = TagsInCode("" if open_tags is None else open_tags.start)
        self._code.read(begun_thinking)
        self._add_to_line(begun_thinking or begun_text)
        self._has_declared_tags = thinking_tags.declared
        # Whether thinking has ended, is the last piece, and must be separated from the next one.
        self._has_thought = self._ends_with_thinking = self._needs_break = False

    is_ended = False
    """Always False: in these formats, only a token or a marker ends the answer."""

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
            self._control_positions.add(self._fed_length)
        self._fed_length += len(text)
        self._buffer += text
        pieces: list[Piece] = []
        while self._step(pieces):
            pass
        return pieces

    def close_thinking(self) -> None:
        """End the thinking that the prompt leaves open; white space after it is skipped."""
        if (tags := self.open_thinking) is not None:
            self.forget_code()
            self.feed(tags.end)

    def forget_code(self) -> None:
        """Forget the quotation marks and code so far, so that the next end tag is not quoted."""
        self._line = ""
        if (tags := self.open_thinking) is not None:
            self._code = TagsInCode(tags.start)

    def add_call(self, name: str, arguments: str) -> list[Piece]:
        """Return a call that the caller has found; its arguments as text if it is not valid."""
        pieces: list[Piece] = []
        try:
            call = to_call({"name": name, "arguments": arguments.strip() or {}})
        except NoCallError:
            self._add_text(pieces, arguments)
        else:
            pieces.extend(self._with_ids([call]))
        return pieces

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer.

        `cut` is whether the model was not finished: then a call without its arguments is text.
        """
        pieces: list[Piece] = []
        rest, self._buffer = self._buffer, ""
        mode, self._mode = self._mode, self.open_thinking  # a call ends here
        match mode:
            case CallFormat() as call_format if cut and call_format.lacks_arguments(rest):
                self._add_text(pieces, rest)
            case CallFormat() as call_format:
                self._close_call(pieces, call_format, rest, ended=False)
            case Tags() as tags:
                before, _, after = rest.partition(tags.end)  # a tag that may have been quoted
                self._add_thinking(pieces, before)
                self._add_text(pieces, after.lstrip(_SPACE))
            case None:
                is_tag = self._answer_end and rest.strip(_SPACE) == self._answer_end
                self._add_text(pieces, "" if is_tag else rest)
        return pieces

    def _step(self, pieces: list[Piece]) -> bool:
        """Parse one step of the buffer; return whether there may be more to parse."""
        if self._skipped:
            self._buffer = self._buffer.lstrip(self._skipped)
            if not self._buffer:
                return False
            self._skipped = ""
        match self._mode:
            case CallFormat() as call_format:
                return self._read_call(pieces, call_format)
            case Tags() as tags:
                return self._read_thinking(pieces, tags)
            case None:
                return self._read_text(pieces)

    def _read_text(self, pieces: list[Piece]) -> bool:
        text = self._buffer
        if not self._has_text:
            blank = len(text) - len(text.lstrip())
            match = self._opening_pattern.match(text, blank)
            if match and self._may_be_word(match):
                after = text[match.end() : match.end() + 1]
                if not after:
                    return False
                if after in _AFTER_WORD:  # the answer begins with a word about the tag
                    self._add_text(pieces, text[: match.end()])
                    self._buffer = text[match.end() :]
                    return True
            if match:
                return self._open(pieces, match, self._opening)
            if partial_tag_length(text[blank:], self._opening) == len(text) - blank:
                self._add_text(pieces, text[:blank])
                self._buffer = text[blank:]
                return False
        match = next(filter(self._is_valid_tag, self._anywhere_pattern.finditer(text)), None)
        if match:
            return self._open(pieces, match, self._anywhere)
        ready = len(text) - self._held_length(text)
        self._add_text(pieces, text[:ready])
        self._buffer = text[ready:]
        return False

    def _may_be_word(self, match: re.Match[str]) -> bool:
        """Return whether a start tag may be a word of the answer instead."""
        is_expected = self._has_declared_tags and not self._has_thought
        return isinstance(self._opening[match.group()], Tags) and not (
            is_expected or match.group() in self._answer_tags
        )

    def _held_length(self, text: str) -> int:
        """Return the number of characters at the end that may be a tag or begin one."""
        held = partial_tag_length(text, self._anywhere)
        if self._answer_end:
            before, tag, after = text.rpartition(self._answer_end)
            if tag and not after.strip(_SPACE):
                return len(text) - len(before)
            held = max(held, partial_tag_length(text, (self._answer_end,)))
        return held

    def _is_valid_tag(self, match: re.Match[str]) -> bool:
        """Return whether a tag is valid at its position."""
        position = self._fed_length - len(self._buffer) + match.start()
        if position in self._control_positions:
            return True
        is_call = isinstance(self._anywhere[match.group()], CallFormat)
        return is_call and self._quote_before(match.start()) != "`"

    def _quote_before(self, index: int) -> str:
        """Return the mark before a position in the buffer if it opens a quotation, else ''."""
        line = (self._line + self._buffer[:index]).rpartition("\n")[2][-_LINE_LENGTH:]
        mark = line[-1:]
        if mark in _BRACKETS or _OPENING_APOSTROPHE.search(line):
            return mark
        return mark if mark and mark in _QUOTES and line.count(mark) % 2 else ""

    def _open(self, pieces: list[Piece], match: re.Match[str], kinds: Mapping[str, _Kind]) -> bool:
        self._add_text(pieces, self._buffer[: match.start()])
        if match.group() in self._answer_tags:
            self._answer_end = self._answer_tags[match.group()].end
            self._buffer, self._skipped = self._buffer[match.end() :], _SPACE
            return True
        self._mode = kinds[match.group()]
        if isinstance(self._mode, Tags):
            self._buffer = self._buffer[match.end() :]
            self._skipped = _SPACE
            self._code = TagsInCode(self._mode.start)
            self._needs_break = self._ends_with_thinking
        else:  # a call keeps its tag, because it may be returned as text
            self._buffer = self._buffer[match.start() :]
            start = 0 if self._mode is BARE else len(self._mode.start)
            self._finder = EndFinder(self._mode, start)
        return True

    def _read_thinking(self, pieces: list[Piece], tags: Tags) -> bool:
        while (start := self._buffer.find(tags.end)) >= 0:
            self._add_thinking(pieces, self._buffer[:start])
            self._buffer = self._buffer[start:]
            is_quoted = self._is_quoted(self._buffer[len(tags.end) :])
            if is_quoted is None:
                return False
            if not is_quoted:
                self._buffer, self._mode = self._buffer[len(tags.end) :], None
                self._has_thought = True
                self._skipped = _SPACE
                self._line = ""  # a quotation in the thinking does not continue in the text
                return True
            self._code.pair()
            self._add_thinking(pieces, tags.end)
            self._buffer = self._buffer[len(tags.end) :]
        ready = len(self._buffer) - partial_tag_length(self._buffer, (tags.end,))
        self._add_thinking(pieces, self._buffer[:ready])
        self._buffer = self._buffer[ready:]
        return False

    def _is_quoted(self, after: str) -> bool | None:
        """Return whether an end tag is quoted, by the text after it; None if that is too short."""
        if (quote := self._quote_before(0)) not in ("", "`"):
            if not after:
                return None  # the next character may be the same mark
            if after[0] == _BRACKETS.get(quote, quote):
                return True
        if self._code.is_in_fence:
            rest = after.lstrip(" \t")
            is_line_end = rest.startswith(("\n", "\r"))
            return self._code.is_paired or (not is_line_end if rest else None)
        if not self._code.is_in_span:
            return False
        if not self._code.is_paired:
            return after[0] == "`" if after else None
        line, line_end, _ = after.partition("\n")
        if "`" in line[:_MAX_SPAN]:
            return True
        return False if line_end or len(line) >= _MAX_SPAN else None

    def _read_call(self, pieces: list[Piece], call_format: CallFormat) -> bool:
        assert self._finder is not None  # noqa: S101 - made together with the mode
        try:
            end = self._finder.end(self._buffer)
        except NoCallError:
            self._return_as_text(pieces, len(call_format.start))
            return True
        if end is not None and end <= MAX_CALL_CHARACTERS:
            raw, self._buffer = self._buffer[:end], self._buffer[end:]
            self._mode = None
            self._close_call(pieces, call_format, raw, ended=True)
            return True
        if len(self._buffer) >= MAX_CALL_CHARACTERS:
            self._return_as_text(pieces, MAX_CALL_CHARACTERS)
            return True
        return False

    def _return_as_text(self, pieces: list[Piece], length: int) -> None:
        self._mode = None
        self._add_text(pieces, self._buffer[:length])
        self._buffer = self._buffer[length:]

    def _close_call(
        self, pieces: list[Piece], call_format: CallFormat, raw: str, *, ended: bool
    ) -> None:
        try:
            calls = parse_calls(call_format, raw, ended=ended)
            if call_format is BARE and calls[0].name not in self._tools:
                raise NoCallError
        except NoCallError:
            self._add_text(pieces, raw)
            return
        pieces.extend(self._with_ids(calls))
        self._skipped = _AFTER_CALL if call_format.end is None else _SPACE

    def _with_ids(self, calls: list[Call]) -> Iterable[ToolCallDelta]:
        for call in calls:
            self._calls += 1
            self._ends_with_thinking = False
            # Mistral's templates reject ids that are not nine letters and digits.
            digest = hashlib.sha256(f"{self._call_prefix}:{self._calls}".encode())
            yield ToolCallDelta(digest.hexdigest()[:9], call.name, call.arguments)

    def _add_text(self, pieces: list[Piece], text: str) -> None:
        if text:
            self._ends_with_thinking = False
            self._has_text = self._has_text or not text.isspace()
            self._add_to_line(text)
            pieces.append(TextDelta(text))

    def _add_thinking(self, pieces: list[Piece], text: str) -> None:
        if text:
            self._add_to_line(text)
            self._code.read(text)
            pieces.append(ThinkingDelta(f"\n\n{text}" if self._needs_break else text))
            self._ends_with_thinking, self._needs_break = True, False

    def _add_to_line(self, text: str) -> None:
        self._line = (self._line + text).rpartition("\n")[2][-_LINE_LENGTH:]


def _all_tags(kinds: Iterable[_Kind]) -> tuple[str, ...]:
    return tuple(tag for kind in kinds for tag in (kind.start, kind.end) if tag)


def _pattern(tags: Iterable[str]) -> re.Pattern[str]:
    # Without tags nothing may match, but an empty pattern matches everywhere.
    return re.compile("|".join(map(re.escape, tags)) or r"(?!)")


def partial_tag_length(text: str, tags: Iterable[str]) -> int:
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
