"""The preparation of turns: trimming, rendering and tokenization of their prompts, on one thread.

It takes time that follows the context, and a chat template may be slow. So it does not run on the
owner thread of the native side, where it would delay the tokens of other turns and a stop. It makes
native calls for the vocabulary only; llama.cpp documents tokenization as thread-safe.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.context.slots import Slot
from koel_tui.engine.native.generation import Generation, TurnParameters
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.prompt.partial_answer import with_prefill
from koel_tui.engine.native.sampling.grammar import schema_grammar
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.native.speculation.draft_costs import DraftCosts
from koel_tui.engine.native.speculation.drafter import Drafter
from koel_tui.engine.native.speculation.prompt_lookup import PromptLookup
from koel_tui.engine.wire_messages import StartTurn
from koel_tui.protocol.turn_settings import Sampling


class PreparationStopped(Exception):  # noqa: N818 - not an error: the caller requested it
    """The turn was stopped, so its prompt is not needed."""


@dataclass(frozen=True, slots=True)
class PreparedTurn:
    """The prompt of a turn, the parser of its answer, and what they need.

    `grammar`, in GBNF, constrains the answer. For `checkpoint_tokens` see `TurnParameters`.
    `lookup` is None if the answer is decoded without drafts.
    """

    prompt: list[int]
    answer: Answer
    grammar: str | None
    trimmed_turns: int
    checkpoint_tokens: int
    lookup: PromptLookup | None


class Preparation:
    """The preparation of one turn and its result; a command of the worker to itself at its end."""

    kind: Literal["preparation"] = "preparation"

    def __init__(self, loaded: LoadedModel, start: StartTurn, session_name: str) -> None:
        self.start = start
        self.turn = start.turn
        self.session = start.session
        self.started_at = time.perf_counter()
        self._loaded = loaded
        self._session_name = session_name
        self._is_stopped = False
        self._result: PreparedTurn | Exception = PreparationStopped()

    def stop(self) -> None:
        """End the preparation soon. May be called from any thread."""
        self._is_stopped = True

    def run(self) -> None:
        """Prepare the turn. Never raises."""
        try:
            self._result = self._prepare()
        except Exception as error:
            self._result = error

    def result(self) -> PreparedTurn:
        """Return the prepared turn, after `run`. Raises the error of the preparation."""
        if isinstance(self._result, Exception):
            raise self._result
        return self._result

    def generation(
        self, lora: Path | None, slot: Slot, costs: DraftCosts, *, snapshot_misses: int
    ) -> Generation:
        """Return the prepared turn with its sampler, to be decoded in `slot`.

        Call it on the owner thread. Raises `EngineError` for a sampling that llama.cpp rejects.
        """
        prepared, settings, context = self.result(), self.start.settings, self._loaded.context
        free_tokens = context.context_tokens - len(prepared.prompt)
        # True and False are ints, but not budgets.
        budget = None if isinstance(settings.thinking, bool) else settings.thinking
        parameters = TurnParameters(
            turn=self.turn,
            session=self.session,
            lora=lora,
            output_limit=min(free_tokens, settings.max_output_tokens or free_tokens),
            trimmed_turns=prepared.trimmed_turns,
            snapshot_misses=snapshot_misses,
            thinking_budget=budget,
            checkpoint_tokens=prepared.checkpoint_tokens,
        )
        sampler = Sampler(
            settings.sampling or Sampling(),
            self._loaded.model,
            prepared.grammar,
            context.context_tokens,
        )
        try:
            sampler.accept_prompt(prepared.prompt)
        except BaseException:
            sampler.close()
            raise
        drafter = None if prepared.lookup is None else Drafter(prepared.lookup, costs)
        return Generation(
            parameters, slot, prepared.prompt, sampler, prepared.answer, self.started_at, drafter
        )

    def _prepare(self) -> PreparedTurn:
        self._check()
        settings = self.start.settings
        grammar = None if settings.schema is None else schema_grammar(settings.schema)
        messages = with_prefill(self.start.messages, settings.prefill)
        trimmed = self._loaded.trim_conversation(
            messages,
            settings,
            self._check,
            omitted_turns=self.start.omitted_turns,
            omitted_size=self.start.omitted_size,
        )
        prompt = trimmed.prompt
        answer = self._loaded.answer(prompt, messages, settings, self._session_name)
        self._check()
        checkpoint_tokens = self._loaded.checkpoint_tokens(trimmed.messages, settings, prompt)
        lookup = PromptLookup(prompt, self._check) if self._loaded.can_draft else None
        return PreparedTurn(
            prompt, answer, grammar, trimmed.dropped_turns, checkpoint_tokens, lookup
        )

    def _check(self) -> None:
        if self._is_stopped:
            raise PreparationStopped


class PreparationThread:
    """The thread that prepares turns, one after the other. Close it.

    `done` is called on it with each finished preparation. All methods except `stop` are for the
    owner thread only.
    """

    def __init__(self, done: Callable[[Preparation], None]) -> None:
        self._done = done
        self._queue: queue.SimpleQueue[Preparation | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._unfinished: dict[int, Preparation] = {}  # by turn

    @property
    def sessions(self) -> set[int]:
        """The sessions whose turns are being prepared."""
        return {each.session for each in self._unfinished.values()}

    def start(self, preparation: Preparation) -> None:
        """Queue a preparation."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="koel prompts", daemon=True)
            thread.start()
            self._thread = thread
        self._unfinished[preparation.turn] = preparation
        self._queue.put(preparation)

    def stop(self, turn: int) -> None:
        """End the preparation of a turn soon, if there is one. May be called from any thread."""
        preparation = self._unfinished.get(turn)
        if preparation is not None:
            preparation.stop()

    def remove(self, turn: int) -> bool:
        """Forget the preparation of a turn and stop it; return whether there was one."""
        self.stop(turn)
        return self._unfinished.pop(turn, None) is not None

    def turns_of(self, session: int) -> list[int]:
        """Return the turns of a session that are being prepared."""
        return [each.turn for each in self._unfinished.values() if each.session == session]

    def close(self) -> None:
        """Stop every preparation, then end the thread and wait for it. Idempotent."""
        for turn in list(self._unfinished):
            self.remove(turn)
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            thread.join()

    def _run(self) -> None:
        while (preparation := self._queue.get()) is not None:
            preparation.run()
            self._done(preparation)
            del preparation  # it holds the prompt, and the next one may come much later
