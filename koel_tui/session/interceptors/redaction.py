"""Redaction: secrets are masked in the events before the session receives them."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ag_ui.core import BaseEvent, EventType, RunAgentInput

from koel_tui.protocol import Event, TurnSettings, UnknownEvent, classify, error_event
from koel_tui.protocol.events.streams import closing
from koel_tui.session.interceptors.chain import Next
from koel_tui.session.interceptors.masked_values import mask_json, mask_model
from koel_tui.session.interceptors.masking import Masking, Pattern, mask_text

_END_TYPES = {
    EventType.TEXT_MESSAGE_CONTENT: EventType.TEXT_MESSAGE_END,
    EventType.REASONING_MESSAGE_CONTENT: EventType.REASONING_MESSAGE_END,
    EventType.TOOL_CALL_ARGS: EventType.TOOL_CALL_END,
}
"""The events that carry deltas of a text, each with the event that ends the text."""


class Redact:
    """Replaces matches of any of `patterns` with [REDACTED], also across deltas.

    A string matches literally. All texts of all events are searched, including states, activities
    and the input of a run; not searched are ids, types, names of tools and events, and encrypted
    values. Text that may begin a match is held back: for a string at most its own length, for a
    regular expression always the last `longest` characters, which is the longest match that is
    found across deltas. Raises ValueError without patterns.
    """

    def __init__(self, patterns: Sequence[Pattern], *, longest: int = 64) -> None:
        self._patterns = tuple(each for each in patterns if each)
        literal = (len(each) for each in self._patterns if isinstance(each, str))
        self._longest = max(longest, *literal, 0)
        if not self._patterns:
            raise ValueError("redaction needs at least one pattern that is not empty")

    async def __call__(
        self, run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        """Return the events of `following` with their content redacted."""
        partial_texts = {
            message.id: message.content
            for message in run.messages[-1:]
            if message.role == "assistant" and message.content
        }
        texts = _OpenTexts(self._patterns, self._longest, partial_texts)
        events = following(run, settings)
        async with closing(events):
            try:
                async for event in events:
                    for redacted in self._redact(event, texts):
                        yield redacted
            except Exception as error:
                for rest in texts.finish():  # the held-back text came before the failure
                    yield rest
                failed = error_event(classify(error))
                redacted_error = mask_model(failed, self._mask)
                if redacted_error is failed:
                    raise
                yield redacted_error  # the exception would put its own text into the state

    def _redact(self, event: Event, texts: "_OpenTexts") -> Iterator[Event]:
        match event:
            case BaseEvent(type=kind) if kind in _END_TYPES:
                yield from texts.feed(event)
            case BaseEvent(type=kind) if kind in _END_TYPES.values():
                yield from texts.finish(kind, _text_id(event))
                yield event
            case BaseEvent(type=EventType.RUN_FINISHED | EventType.RUN_ERROR):
                yield from texts.finish()
                yield mask_model(event, self._mask)
            case BaseEvent():
                yield mask_model(event, self._mask)
            case UnknownEvent():
                yield replace(event, raw=mask_json(event.raw, self._mask))

    def _mask(self, text: str) -> str:
        return mask_text(text, self._patterns)


class _OpenTexts:
    """The texts that are being streamed, by event type and id."""

    def __init__(
        self, patterns: Sequence[Pattern], longest: int, partial_texts: Mapping[str, str]
    ) -> None:
        """`partial_texts` are the texts that the run may continue, by id."""
        self._partial_texts = partial_texts
        self._patterns = patterns
        self._longest = longest
        self._open: dict[tuple[EventType, str], tuple[BaseEvent, Masking]] = {}

    def feed(self, event: Any) -> Iterator[Event]:
        key = (_END_TYPES[event.type], _text_id(event))
        if key not in self._open:
            before = self._partial_texts.get(key[1], "")
            self._open[key] = (event, Masking(self._patterns, self._longest, before))
        ready = self._open[key][1].feed(event.delta)
        if ready:
            yield event.model_copy(update={"delta": ready})

    def finish(self, kind: EventType | None = None, name: str = "") -> Iterator[Event]:
        """Yield the rest of one text, or of all texts without a `kind`, and remove it."""
        for key in list(self._open) if kind is None else [(kind, name)]:
            event, masking = self._open.pop(key, (None, None))
            rest = masking.finish() if masking else ""
            if event is not None and rest:
                yield event.model_copy(update={"delta": rest})


def _text_id(event: BaseEvent) -> str:
    return str(getattr(event, "tool_call_id", None) or getattr(event, "message_id", ""))
