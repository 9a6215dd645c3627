"""Drawing the next token: a llama.cpp sampler chain made from a `Sampling`."""

import secrets

import llama_cpp

from koel_tui.engine.native.context import Context
from koel_tui.engine.native.grammar import grammar_stage
from koel_tui.engine.native.model import Model
from koel_tui.protocol.turn_settings import Sampling


class Sampler:
    """One turn's sampler chain, in the order of llama.cpp's own programs. Close it."""

    def __init__(self, sampling: Sampling, model: Model, grammar: str | None = None) -> None:
        """Make the chain; `grammar`, in GBNF, holds the answer to it.

        Raises `EngineError` when llama.cpp does not take the grammar.
        """
        first = [] if grammar is None else [grammar_stage(grammar, model)]
        self.seed = secrets.randbits(32) if sampling.seed is None else sampling.seed
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        for stage in [*first, *self._stages(sampling)]:
            llama_cpp.llama_sampler_chain_add(self._chain, stage)

    def _stages(self, sampling: Sampling) -> list[int]:
        stages = []
        penalised = (
            sampling.repeat_penalty != 1.0
            or sampling.frequency_penalty != 0.0
            or sampling.presence_penalty != 0.0
        )
        if penalised:
            stages.append(
                llama_cpp.llama_sampler_init_penalties(
                    sampling.repeat_last_n,
                    sampling.repeat_penalty,
                    sampling.frequency_penalty,
                    sampling.presence_penalty,
                )
            )
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

    def sample(self, context: Context, row: int) -> int:
        """Draw a token from the logits in `row` of the last batch, and remember it."""
        return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))

    def close(self) -> None:
        """Free the chain. Idempotent."""
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
            self._chain = None
