"""The interfaces of agents, and the CUSTOM events that report progress and metrics."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol.turn_settings import TurnSettings

ACTIVITY = "koel.activity"
"""CUSTOM event: the progress of a run before and during generation.

value: `{"phase": str, "position": int, "fraction": float}`. `phase` is loading, queued, reading
(prefill), thinking (its text is not shown) or writing. `position` counts from 1 (next in line) and
is present when queued; `fraction` is 0..1 and is present when loading or reading.
"""

METRICS = "koel.metrics"
"""CUSTOM event: metrics of the finished answer, sent before RUN_FINISHED.

value: the fields of `koel_tui.engine.SessionMetrics`, `"reason"`, `"trimmed_turns"`, `"model"`,
`"context_tokens"` (the context size) and `"notice"`, the `notice` of the model's `ModelInfo`.
"""

TOKENS = "tokens"
"""Key in the `raw_event` of a content event: the number of tokens in its text."""


def tokens_of(event: BaseEvent) -> int:
    """Return the number of tokens in a content event, 1 if it does not report one."""
    raw = event.raw_event
    tokens = raw.get(TOKENS) if isinstance(raw, Mapping) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else 1


class Agent(Protocol):
    """An agent, which answers a run with AG-UI events."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run. Closing the iterator stops the run; errors are events.

        `settings` apply to this run only; the agent chooses the fields that are None.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The `name` of a loaded model, its context size and notes about its chat template.

    `context_tokens` is the context size in tokens. `notice` is a sentence for the user, '' if there
    is none. `has_template` is whether the model file has a chat template; without one, each run
    must name one. `fitting_template` is the built-in template that fits the vocabulary, '' if none
    does.
    """

    name: str
    context_tokens: int
    notice: str = ""
    has_template: bool = True
    fitting_template: str = ""


class ModelAgent(Agent, Protocol):
    """An agent with a model: it loads the model once and keeps a context per thread."""

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the model unless it is loaded; concurrent callers share one load.

        `progress` is called with 0..1. Raises the engine's error if the load fails.
        """
        ...

    async def release(self, thread_id: str) -> None:
        """Free the context of a thread, if it has one."""
        ...

    async def close(self) -> None:
        """Stop every run and free the model's memory. Idempotent."""
        ...


class LocalModelAgent(ModelAgent, Protocol):
    """A model agent that supports adapters and ephemeral runs."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
        *,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run. `lora` is the adapter file, None for no adapter.

        The agent stores nothing of an `ephemeral` run.
        """
        ...
