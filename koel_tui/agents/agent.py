"""What an agent is, and the CUSTOM events by which agents here report progress and figures."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol.turn_settings import TurnSettings

ACTIVITY = "koel.activity"
"""CUSTOM event: where a run stands before and while it writes.

value: `{"phase": str, "position": int, "fraction": float}`; phase is loading, queued, reading,
thinking (nothing of it is shown) or writing; position counts from 1 (next in line) and is there
when queued, fraction is 0..1 and is there when loading or reading.
"""

METRICS = "koel.metrics"
"""CUSTOM event: figures of the answer just finished, sent before RUN_FINISHED.

value: the fields of `koel_tui.engine.SessionMetrics` and `"reason"`, `"trimmed_turns"`, `"model"`,
`"context_tokens"` (the window).
"""

TOKENS = "tokens"
"""Key of a content event's `raw_event`: how many tokens its text is made of."""


def tokens_of(event: BaseEvent) -> int:
    """Return how many tokens the text of a content event is made of; 1 where nobody says."""
    raw = event.raw_event
    tokens = raw.get(TOKENS) if isinstance(raw, Mapping) else None
    return tokens if isinstance(tokens, int) and tokens > 0 else 1


class Agent(Protocol):
    """Anything that answers a run with AG-UI events."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the protocol's word
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops the run. Errors are events.

        `settings` are those of this run; fields that are None are left to the agent.
        """
        ...


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model says of itself: its `name` and its window, `context_tokens`.

    `notice` is a sentence that the user should read, '' when there is none.
    `has_template` is whether its file has a chat template; without one each run must name one.
    `fitting_template` is the built-in template that fits its vocabulary, '' when none does.
    """

    name: str
    context_tokens: int
    notice: str = ""
    has_template: bool = True
    fitting_template: str = ""


class ModelAgent(Agent, Protocol):
    """An agent that owns a model: it loads it once, keeps a context per thread, and is closed."""

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the model unless it is loaded; concurrent callers share one load.

        `progress` is called with 0..1. Raises the engine's error when the load fails.
        """
        ...

    async def release(self, thread_id: str) -> None:
        """Free the context kept for a thread; one that has none is fine."""
        ...

    async def close(self) -> None:
        """End every run and give the model's memory back. Idempotent."""
        ...


class LocalModelAgent(ModelAgent, Protocol):
    """A model agent whose runs may ask for an adapter, and may be ephemeral."""

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - the protocol's word
        settings: TurnSettings | None = None,
        *,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run, answered with the adapter file `lora`, None for none.

        The agent keeps nothing of an `ephemeral` run.
        """
        ...
