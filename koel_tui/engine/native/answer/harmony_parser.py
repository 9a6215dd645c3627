"""A parser of answers in Harmony, the format of gpt-oss.

An answer is a sequence of messages. Each has a header with a channel and sometimes a recipient:

    <|channel|>analysis<|message|>thinking<|end|>
    <|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}<|call|>
    <|start|>assistant<|channel|>final<|message|>text<|return|>

The prompt ends with the first `<|start|>assistant`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from koel_tui.engine.native.answer.answer_parser import (
    AnswerParser,
    Piece,
    partial_tag_length,
)
from koel_tui.engine.native.answer.thinking_tags import HARMONY, Tags
from koel_tui.engine.types import ThinkingDelta

_TAG = re.compile(r"<\|(?:start|channel|constrain|message|end)\|>")
_TAGS = ("<|start|>", "<|channel|>", "<|constrain|>", "<|message|>", "<|end|>")
_HEADER = re.compile(
    r"(?:<\|end\|>\s*)?(?:<\|start\|>assistant[^<\n]*)?<\|channel\|>[^<\n]+"
    r"(?:<\|constrain\|>[^<\n]*)?<\|message\|>"
)
_INVALID_HEADER = re.compile(rf"(?:{_TAG.pattern}\s*(?:assistant|analysis|commentary|final)?\s*)*")
_MAX_HEADER_CHARACTERS = 200
_CHANNELS = ("analysis", "commentary", "final")
_CHANNEL = "|".join(name[:end] for name in _CHANNELS for end in range(len(name), -1, -1))
_PARTIAL_HEADER = re.compile(
    rf"(?:<\|start\|>\s*\w*\s*)?(?:to=\S*\s*)?(?:<\|channel\|>\s*(?:{_CHANNEL})\s*)?(?:to=\S*\s*)?"
    r"(?:json|<\|constrain\|>\s*\w*)?\s*(?:<[|\w]*)?"
)
"""The beginning of a header at the end of an answer."""
_LAST_TAGS = re.compile(
    rf"<\|end\|>\s*(?:<[|\w]*)?|(?:<\|end\|>\s*)?(?=<){_PARTIAL_HEADER.pattern}"
)
"""The end of a message at the end of an answer, and the beginning of the next header."""
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class _Content:
    """The kind of a message's content, and the function that it calls."""

    kind: Literal["text", "thinking", "call"]
    function: str = ""
    ends_answer: bool = False


_FINAL = _Content("text", ends_answer=True)
_THINKING = _Content("thinking")


class HarmonyParser:
    """A streaming parser of one answer, used like `AnswerParser`.

    A tag is a control token. For vocabularies without these tokens, text that spells tags is a
    header too, except in the final channel, where it is text.
    """

    ends = ("<|return|>", "<|call|>")
    """The ends of an answer, which a template does not write between a question and the next."""
    tags = _TAGS
    """The tags to find: control tokens without text in many vocabularies."""

    def __init__(
        self,
        text_parser: AnswerParser,
        *,
        open_tags: Tags | None,
        has_thinking: bool,
        has_text: bool,
        spells_tags: bool = True,
    ) -> None:
        """`text_parser` parses the content of messages that are text, and makes the calls.

        `open_tags` is the thinking that the prompt leaves open; `has_thinking` is whether it has
        some already. `has_text` is whether the prompt ends within a message of the final channel.
        `spells_tags` is whether the vocabulary lacks the tags, so that the model spells them.
        """
        self._spells_tags = spells_tags
        self._text_parser = text_parser
        self._buffer = ""
        self._fed_length = 0
        self._control_positions: set[int] = set()
        self._is_cut = False
        self._content: _Content | None = None  # None between messages
        if open_tags is not None:
            self._content = _THINKING
        elif has_text:
            self._content = _FINAL
        self._skips_space = open_tags is not None and not has_thinking
        self._kinds: set[str] = set()  # the kinds of content so far
        self._needs_break = False  # whether a message of the same kind comes before the next text
        self._scanned = 0  # index in the buffer before which no tag begins
        self.is_ended = False
        """True if the answer has ended; further text is dropped."""

    @property
    def calls(self) -> int:
        """The number of tool calls so far."""
        return self._text_parser.calls

    @property
    def open_thinking(self) -> Tags | None:
        """The tags of the open thinking; None outside thinking."""
        is_thinking = self._content is not None and self._content.kind == "thinking"
        return HARMONY if is_thinking else None

    def close_thinking(self) -> None:
        """End the thinking that the prompt leaves open; white space after it is skipped."""
        self._content, self._skips_space = _FINAL, True

    def forget_code(self) -> None:
        """Do nothing: a tag in this format is not quoted."""

    def feed(self, text: str, *, control: bool = False) -> list[Piece]:
        """Parse the next text of the answer; return the pieces it completes.

        `control` is whether the text is the spelling of a control token.
        """
        if control:
            self._control_positions.add(self._fed_length)
        self._fed_length += len(text)
        self._buffer += text
        return self._read(final=False)

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer.

        `cut` is whether the model was not finished: then a call without its arguments is dropped.
        """
        self._is_cut = cut
        return self._read(final=True) + self._text_parser.finish(cut=cut)

    def _read(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        while not self.is_ended:
            if self._content is None:
                is_changed = self._read_header(final=final)
            else:
                is_changed = self._read_content(pieces, self._content, final=final)
            if not is_changed:
                break
        if self.is_ended:
            self._take(len(self._buffer))
        return pieces

    def _read_header(self, *, final: bool) -> bool:
        """Read the header of a message; return whether it is complete."""
        self._take(len(self._buffer) - len(self._buffer.lstrip(_SPACE)))
        text = self._buffer
        if not text:
            return False
        if text.startswith("<|end|>") and self._is_tag(0):
            self._take(len("<|end|>"))
            if final and self._spells_tags and re.fullmatch(r"\s*<[|\w]*", self._buffer):
                self._take(len(self._buffer))  # the answer ended within the next tag
            return True
        if self._may_be_header(text):
            header, tag, _ = text[:_MAX_HEADER_CHARACTERS].partition("<|message|>")
            if tag and "\n" not in header:
                self._take(len(header) + len(tag))
                self._open(header)
                return True
            is_short = len(text) < _MAX_HEADER_CHARACTERS and "\n" not in text
            if is_short and not final:
                return False  # wait for the rest
            if is_short and _TAG.search(text) and _PARTIAL_HEADER.fullmatch(text):
                self._take(len(text))  # the answer ended within a header
                return False
            read = text[:_MAX_HEADER_CHARACTERS].partition("\n")[0]
            self._take(_match_length(_INVALID_HEADER, read))
        self._begin(_FINAL)
        return True

    def _is_tag(self, index: int) -> bool:
        """Return whether a spelled tag at an index of the buffer is one."""
        position = self._fed_length - len(self._buffer) + index
        return self._spells_tags or position in self._control_positions

    def _may_be_header(self, text: str) -> bool:
        """Return whether a text begins a header, or may do so."""
        if text.startswith("to=") or "to=".startswith(text):
            return True
        return self._is_tag(0) and any(
            text.startswith(each) or each.startswith(text) for each in _TAGS
        )

    def _begin(self, content: _Content) -> None:
        """Begin the content of a message; it is separated from a message of the same kind."""
        self._content, self._skips_space = content, True
        self._needs_break = content.kind in self._kinds

    def _open(self, header: str) -> None:
        """Begin the content of a message."""
        role = re.match(r"<\|start\|>\s*(\w+)", header)
        channel = re.search(r"<\|channel\|>\s*(\w+)", header)
        recipient = re.search(r"\bto=([^\s<]+)", header)
        if role is not None and role.group(1) != "assistant":
            self.is_ended = True
        elif recipient is not None:
            namespace, _, function = recipient.group(1).partition(".")
            is_call = namespace == "functions" and bool(function) and self._text_parser.offers_tools
            self._begin(_Content("call", function) if is_call else _THINKING)
        elif channel is not None and channel.group(1) == "analysis":
            self._begin(_THINKING)
        elif channel is not None and channel.group(1) == "commentary":
            self._begin(_Content("text"))  # for the user, before calls
        else:
            self._begin(_FINAL)

    def _read_content(self, pieces: list[Piece], content: _Content, *, final: bool) -> bool:
        """Read content up to the next tag; return whether the message has ended."""
        if self._skips_space:
            self._take(len(self._buffer) - len(self._buffer.lstrip(_SPACE)))
            self._skips_space = not self._buffer
        end, is_tag = self._find_tag(content, final=final)
        if content.kind == "call":
            if not (is_tag or final):
                self._scanned = end
                return False
            body = self._take(end).strip()
            arguments = body.removesuffix("<|call|>")
            # The tag after the arguments ends the answer, so without a tag they may be incomplete.
            if body or is_tag or not self._is_cut:
                pieces += self._text_parser.add_call(content.function, arguments)
        elif text := self._take(end):
            self._kinds.add(content.kind)
            text, self._needs_break = f"\n\n{text}" if self._needs_break else text, False
            if content.kind == "thinking":
                pieces.append(ThinkingDelta(text))
            else:
                pieces += self._text_parser.feed(text)
        if is_tag:
            is_closed = self._buffer.startswith("<|end|>")
            self.is_ended = content.ends_answer and is_closed
            self._content = None
            if content.kind == "text":
                pieces += self._text_parser.finish()  # a call does not continue in another message
        return is_tag

    def _find_tag(self, content: _Content, *, final: bool) -> tuple[int, bool]:
        """Return the index of the tag that ends the content, and True.

        Without one, return the index up to which there is none, and False.
        """
        text = self._buffer
        offset = self._fed_length - len(text)
        may_be_spelled = self._spells_tags and not content.ends_answer
        for match in _TAG.finditer(text, self._scanned):
            start = match.start()
            if offset + start in self._control_positions:
                return start, True
            if not may_be_spelled:
                continue
            if _HEADER.match(text, start, start + _MAX_HEADER_CHARACTERS):
                return start, True
            header = text[start:].removeprefix("<|end|>").lstrip(_SPACE)
            if len(text) - start >= _MAX_HEADER_CHARACTERS or "\n" in header.rstrip(_SPACE):
                continue
            if not final:
                return start, False  # it may become a header
            if _LAST_TAGS.fullmatch(text, start):
                return start, True
        partial = 0 if final or not may_be_spelled else partial_tag_length(text, _TAGS)
        return len(text) - partial, False

    def _take(self, length: int) -> str:
        """Remove text from the start of the buffer and return it."""
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        self._scanned = max(0, self._scanned - length)
        return text


def _match_length(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return 0 if match is None else match.end()
