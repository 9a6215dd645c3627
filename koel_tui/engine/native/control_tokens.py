"""Tokenization of prompts in which only the chat template may write control tokens.

A prompt consists of the text of a chat template and of data: messages, names, tool calls, tool
definitions, tool results. Only the template's own text may contain control tokens. So a prompt is
split at the control tokens of the template, and the text between them is tokenized without special
tokens. llama.cpp splits a text at the same places, so these are the tokens of the whole text if
data spells no control token. If llama.cpp may split it at others, such a prompt is tokenized as a
whole, as the model's own tokenizer does.

The tokens of the pieces are cached, because the next prompt of a conversation has most of them,
even if its oldest turns are left out.

The attributes of the vocabulary define which tokens are special:

- CONTROL and UNKNOWN tokens come from the template only.
- USER_DEFINED tokens (Gemma's runs of spaces, Qwen's `<tool_call>`) come from any text. They are
  part of normal tokenization, in llama.cpp and in the tokenizer the model was trained with.
- BYTE tokens never come from their spelling; NORMAL tokens are text.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.weights import Model, SpecialToken

_SPACE_MARK = "\u2581".encode()
_C_SPACE = " \t\n\v\f\r"
_CACHED_TOKENS = 256 * 1024
"""Tokens of the texts in the cache, some 2 MB with the texts."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """A prompt as text, with its data marked.

    `marked` has the length of `text`. A character of data that could belong to a control token is
    replaced there by one that no control token contains; every other character is the same.
    """

    text: str
    marked: str

    def with_data(self, data: str) -> RenderedPrompt:
        """Return the prompt with data appended."""
        return RenderedPrompt(self.text + data, self.marked + "\x00" * len(data))

    def with_template_text(self, template_text: str) -> RenderedPrompt:
        """Return the prompt with text of the template appended."""
        return RenderedPrompt(self.text + template_text, self.marked + template_text)


@dataclass(frozen=True, slots=True)
class Span:
    """An occurrence of a control token's spelling in a text."""

    start: int
    end: int
    spelling: str


class Spellings:
    """The spellings of the control tokens of a vocabulary."""

    def __init__(self, spellings: Iterable[str]) -> None:
        self._all = frozenset(filter(None, spellings))
        self._lengths: dict[str, list[int]] = {}
        for spelling in self._all:
            lengths = self._lengths.setdefault(spelling[0], [])
            if len(spelling) not in lengths:
                lengths.append(len(spelling))
        self._joined = "\x00".join(self._all)
        first = "".join(map(re.escape, self._lengths))
        self._first = re.compile(f"[{first}]" if first else r"(?!)")
        self.alphabet = frozenset("".join(self._all))
        """The characters of the spellings."""
        self.edges = frozenset(each[index] for each in self._all for index in (0, -1))
        """The first and last characters of the spellings."""

    def spans(self, text: str) -> list[Span]:
        """Return the occurrences in a text, in order; overlaps are resolved as in llama.cpp.

        llama.cpp searches the whole text for the longest spelling first, then for the next one.
        """
        candidates = sorted(self._occurrences(text), key=lambda span: -len(span.spelling.encode()))
        covered = bytearray(len(text))
        occurrences: list[Span] = []
        for span in candidates:
            if not any(covered[span.start : span.end]):
                covered[span.start : span.end] = b"\x01" * (span.end - span.start)
                occurrences.append(span)
        return sorted(occurrences, key=lambda span: span.start)

    def can_overlap(self, text: str) -> bool:
        """Return whether an occurrence of a text may overlap one of a spelling, or contain it."""
        lengths = range(1, len(text) + 1)
        return (
            bool(self.spans(text))
            or any(text[:length] in self._endings for length in lengths)
            or any(text[-length:] in self._beginnings for length in lengths)
        )

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        return frozenset(each[:end] for each in self._all for end in range(1, len(each) + 1))

    @cached_property
    def _endings(self) -> frozenset[str]:
        return frozenset(each[start:] for each in self._all for start in range(len(each)))

    def is_part(self, text: str) -> bool:
        """Return whether a text is part of a spelling."""
        return bool(text) and text in self._joined

    def _occurrences(self, text: str) -> Iterator[Span]:
        for first in self._first.finditer(text):
            start = first.start()
            for length in self._lengths[first.group()]:
                spelling = text[start : start + length]
                if spelling in self._all:
                    yield Span(start, start + length, spelling)


class _TokenCache:
    """The tokens of recent texts.

    When the limit is reached, the texts that were not used since the last time are dropped.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._recent: dict[str, array[int]] = {}
        self._recent_tokens = 0
        self._older: dict[str, array[int]] = {}

    def tokens(self, text: str, tokenize: Callable[[str], Iterable[int]]) -> array[int]:
        """Return the tokens of a text; `tokenize` returns those that are not in the cache."""
        tokens = self._recent.get(text)
        if tokens is not None:
            return tokens
        tokens = self._older.pop(text, None)
        if tokens is None:
            tokens = array("i", tokenize(text))
        if self._recent_tokens + len(tokens) > self._max_tokens:
            self._older, self._recent, self._recent_tokens = self._recent, {}, 0
        if len(tokens) <= self._max_tokens:
            self._recent[text] = tokens
            self._recent_tokens += len(tokens)
        return tokens


class PromptTokenizer:
    """A tokenizer of prompts, with control tokens from the template's own text only.

    Use it from one thread at a time.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._special: Mapping[str, SpecialToken] = model.special_tokens()
        # Unknown tokens are excluded: they also represent characters that the vocabulary lacks.
        self._control = frozenset(each.token for each in self._special.values() if each.control)
        self.spellings = Spellings(self._special)
        self.controls = {
            spelling: each.token for spelling, each in self._special.items() if each.control
        }
        """The control tokens, by their spelling."""
        self._cache = _TokenCache(_CACHED_TOKENS)

    def count(self, text: str) -> int:
        """Return the number of tokens of a text that consists only of data.

        If the vocabulary cannot write the text, return its length: no prompt may contain it.
        """
        try:
            return len(self._plain_tokens(text))
        except EngineError:
            return len(text)

    def tokens(self, prompt: RenderedPrompt) -> list[int]:
        """Return the tokens of a prompt, with those that the vocabulary puts around a text."""
        text, template_spans = prompt.text, self.spellings.spans(prompt.marked)
        bos = self._model.bos
        if bos and prompt.marked.startswith(bos):
            return self._tokenize(text, template_spans)
        return self._with_edges(self._tokenize(text, template_spans))

    def text_tokens(self, text: str) -> list[int]:
        """Return the tokens of a text that consists only of data."""
        return self._with_edges(self._tokenize_in_pieces(text, []))

    def _with_edges(self, tokens: list[int]) -> list[int]:
        first, last = self._model.text_edges()
        return [*first, *tokens, *last]

    def _tokenize(self, text: str, template_spans: list[Span]) -> list[int]:
        # With a NUL character, the pieces can have other tokens than the whole.
        is_split = self._is_split_at_controls and "\x00" not in text
        if not is_split and template_spans == self.spellings.spans(text):
            tokens = self._model.tokenize(text, special=True, start=False)
            if sum(token in self._control for token in tokens) <= len(template_spans):
                return tokens  # else text was merged into a control token
        return self._tokenize_in_pieces(text, template_spans)

    def _tokenize_in_pieces(self, text: str, template_spans: list[Span]) -> list[int]:
        tokens: list[int] = []
        done, strip_left = 0, False
        for span in template_spans:
            special = self._special[span.spelling]
            piece = text[done : span.start]
            piece = piece.lstrip(_C_SPACE) if strip_left else piece
            tokens += self._plain_tokens(piece)
            tokens.append(special.token)
            done, strip_left = span.end, special.strips_right
        piece = text[done:].lstrip(_C_SPACE) if strip_left else text[done:]
        return [*tokens, *self._plain_tokens(piece)]

    @cached_property
    def _is_split_at_controls(self) -> bool:
        """True if llama.cpp splits every text at the spellings of control tokens.

        It does not where the spelling of a user-defined token contains one or overlaps it.
        """
        return not any(map(self.spellings.can_overlap, self._model.user_defined_spellings()))

    def _plain_tokens(self, text: str) -> array[int]:
        return self._cache.tokens(text, self._tokenize_plain)

    def _tokenize_plain(self, text: str) -> Iterator[int]:
        """Yield the tokens of a text without control tokens.

        llama.cpp merges text to a control token if the vocabulary has the merges for it, so such
        tokens are split into text tokens.
        """
        if not text:
            return
        for token in self._model.tokenize(text, special=False, start=False):
            if token in self._control:
                yield from self._split_control_token(self._model.piece(token, special=True))
            else:
                yield token

    def _split_control_token(self, spelling: bytes) -> Iterator[int]:
        rest = spelling.replace(_SPACE_MARK, b" ")
        while rest:
            longest = next(
                (size for size in range(len(rest), 0, -1) if rest[:size] in self._pieces), 0
            )
            if not longest:
                raise EngineError(
                    f"The vocabulary of {self._model.name} cannot write {spelling!r} as text. "
                    "Change the text, or use another model."
                )
            yield self._pieces[rest[:longest]]
            rest = rest[longest:]

    @cached_property
    def _pieces(self) -> dict[bytes, int]:
        """The text tokens, by their bytes."""
        return {
            self._model.piece(token): token
            for token in reversed(range(self._model.vocabulary_size))
            if token not in self._control
        }
