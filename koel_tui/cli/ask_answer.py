"""The answer of `koel-chat ask` and its JSON object."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from koel_tui.text import repair

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState, Event

_BACKEND = "local"
_USAGE = ("prompt_tokens", "reused_tokens", "output_tokens")
_REASONS = frozenset({"end", "length", "stopped", "tool_calls", "error"})
_OTHER_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "max_tokens": "length",
        "max_output_tokens": "length",
        "tool_call": "tool_calls",
        "tool_use": "tool_calls",
        "function_call": "tool_calls",
        "content_filter": "stopped",
        "refusal": "stopped",
        "abort": "stopped",
        "cancelled": "stopped",
    }
)
"""The reasons of servers that are not simply the end of the answer."""
NO_TEXT = "The model wrote no answer. Try again, or use another --temperature or --model."
THOUGHT_ONLY = (
    "The model only thought and wrote no answer. "
    "Use a larger --max-output-tokens; --json prints the thinking."
)


@dataclass(slots=True)
class Answer:
    """A possibly partial answer; after an early failure most fields are empty."""

    thread: str | None = None
    model: str | None = None
    text: str = ""
    thinking: str = ""
    finish_reason: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Value of the METRICS event; empty if the run was interrupted or failed."""
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    _is_printed: bool = False

    def on_event(self, event: "Event") -> None:
        """Read the metrics and the finish reason from an event."""
        from ag_ui.core import CustomEvent, RunFinishedEvent

        from koel_tui.agents import METRICS
        from koel_tui.protocol import finish_reason

        if isinstance(event, CustomEvent) and event.name == METRICS:
            self.metrics = event.value if isinstance(event.value, Mapping) else {}
        elif isinstance(event, RunFinishedEvent):
            self.finish_reason = _known_reason(finish_reason(event) or "end")

    def read_state(self, state: "ChatState") -> None:
        """Read the last answer, if any, and the error from a thread's state."""
        last = state.messages[-1] if state.messages else None
        if last is not None and last.role == "assistant":
            self.text, self.thinking = last.content, last.reasoning
            self.tool_calls = [
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in last.tool_calls
            ]
        if state.error is not None:
            self.fail(str(state.error))

    @property
    def trimmed_turns(self) -> int:
        """The number of the oldest turns that did not fit the context."""
        from koel_tui.conversation.metrics import parse_metrics

        metrics = parse_metrics(self.metrics)
        return 0 if metrics is None else metrics.trimmed_turns

    @property
    def unusable_reason(self) -> str:
        """The reason why the answer is unusable, or ''."""
        if self.text.strip() or self.tool_calls:
            return ""
        return THOUGHT_ONLY if self.thinking else NO_TEXT

    def stop(self) -> None:
        """Record that a signal interrupted the answer."""
        self.finish_reason = self.finish_reason or "stopped"

    def fail(self, reason: str) -> None:
        """Record the error that prevented or interrupted the answer."""
        self.error, self.finish_reason = reason, "error"

    def print_json(self) -> None:
        """Print the answer as one JSON object; later calls have no effect."""
        if not self._is_printed:
            self._is_printed = True
            click.echo(json.dumps(self.as_json()))

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object; unknown metrics are null."""
        thinking = {"thinking": self.thinking} if self.thinking else {}
        return {
            "thread": self.thread,
            "model": None if self.model is None else repair(self.model),
            "backend": _BACKEND,
            "text": self.text,
            **thinking,
            "finish_reason": self.finish_reason or "error",
            "usage": {name: self.metrics.get(name) for name in _USAGE},
            "trimmed_turns": self.trimmed_turns,
            "tool_calls": self.tool_calls,
            "error": None if self.error is None else repair(self.error),
        }


def _known_reason(reason: str) -> str:
    """Return the reason that the JSON object may have and that is nearest to an agent's own."""
    return reason if reason in _REASONS else _OTHER_REASONS.get(reason.lower(), "end")


def print_failure(reason: str) -> None:
    """Print the JSON object of a question that could not be sent."""
    answer = Answer()
    answer.fail(reason)
    answer.print_json()
