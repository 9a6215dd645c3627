"""Drawing the next token: a llama.cpp sampler chain made from a `Sampling`."""

import secrets
from collections.abc import Sequence
from typing import Any

import llama_cpp

from koel_tui.engine.native.context import Context
from koel_tui.engine.native.grammar import grammar_stage
from koel_tui.engine.native.model import Model
from koel_tui.engine.values import DEFAULT_WINDOW
from koel_tui.protocol.turn_settings import Sampling


class Sampler:
    """One turn's sampler chain, in the order of llama.cpp's own programs. Close it."""

    def __init__(
        self,
        sampling: Sampling,
        model: Model,
        grammar: str | None = None,
        window: int = DEFAULT_WINDOW,
    ) -> None:
        """Make the chain; `grammar`, in GBNF, holds the answer to it.

        Penalties look back at most `window` tokens. Raises `EngineError` when llama.cpp does not
        take the grammar.
        """
        first = [] if grammar is None else [grammar_stage(grammar, model)]
        self.seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
        # llama.cpp allocates memory for so many tokens at once and takes no -1.
        last_n = sampling.repeat_last_n
        self._last_n = window if last_n < 0 else min(last_n, window)
        self._penalties = self._penalty_stage(sampling, model)
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        for stage in [*first, *self._stages(sampling)]:
            llama_cpp.llama_sampler_chain_add(self._chain, stage)

    def _penalty_stage(self, sampling: Sampling, model: Model) -> Any:
        if (
            sampling.repeat_penalty == 1.0
            and sampling.frequency_penalty == 0.0
            and sampling.presence_penalty == 0.0
        ):
            return None
        return llama_cpp.llama_sampler_init_penalties(
            model.vocabulary_size,
            self._last_n,
            sampling.repeat_penalty,
            sampling.frequency_penalty,
            sampling.presence_penalty,
        )

    def _stages(self, sampling: Sampling) -> list[Any]:
        stages = [] if self._penalties is None else [self._penalties]
        if sampling.temperature == 0:
            return [*stages, llama_cpp.llama_sampler_init_greedy()]
        return [
            *stages,
            llama_cpp.llama_sampler_init_top_k(sampling.top_k),
            llama_cpp.llama_sampler_init_typical(sampling.typical_p, 1),
            llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1),
            llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1),
            llama_cpp.llama_sampler_init_temp(sampling.temperature),
            llama_cpp.llama_sampler_init_dist(self.seed),
        ]

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Let the penalties count the prompt, as llama-server does.

        The grammar does not get it: the prompt is no part of the answer.
        """
        if self._penalties is not None and self._last_n:
            for token in tokens[-self._last_n :]:
                llama_cpp.llama_sampler_accept(self._penalties, token)

    def sample(self, context: Context, row: int) -> int:
        """Draw a token from the logits in `row` of the last batch, and remember it."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))

    def close(self) -> None:
        """Free the chain and its stages. Idempotent."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = self._penalties = None
