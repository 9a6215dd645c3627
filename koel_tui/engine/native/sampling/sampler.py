"""The token sampler of a turn: a llama.cpp sampler chain built from a `Sampling`."""

import ctypes
import secrets
from collections.abc import Sequence
from typing import Any

import llama_cpp

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.sampling.constrained_choice import ConstrainedChoice, Truncation
from koel_tui.engine.native.weights import Model
from koel_tui.engine.types import DEFAULT_CONTEXT_TOKENS
from koel_tui.protocol.turn_settings import Sampling

_RANDOM_SEED = 0xFFFFFFFF
"""llama.cpp replaces this seed with a random one."""
_MIN_TEMPERATURE = 1e-6
"""Lower temperatures are greedy: llama.cpp would divide logits to infinity."""
_DYNAMIC_TEMPERATURES = (1e-3, 1e3)
"""Limits of a dynamic temperature: at 0, llama.cpp would divide by it if the entropy is 0."""
_MIN_PENALTY = 1e-20
"""Smaller repeat penalties are 0 as 32-bit floats, which llama.cpp rejects."""
_MIROSTAT_M = 100
"""Number of tokens that Mirostat 1 considers, as in llama.cpp's own programs."""
_DRY_BREAKERS = (b"\n", b":", b'"', b"*")
"""Texts that end a repeated sequence for DRY, as in llama.cpp's own programs."""


class Sampler:
    """The sampler chain of one turn, in the order of llama.cpp's own programs. Close it.

    Logit bias, penalties and DRY apply to every answer. At temperature 0 the most probable token is
    chosen; otherwise the other stages draw from the remaining tokens. Mirostat replaces all stages
    that remove candidates. A grammar is applied before all of these.
    """

    def __init__(
        self,
        sampling: Sampling,
        model: Model,
        grammar: str | None = None,
        context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    ) -> None:
        """`grammar`, in GBNF, constrains the answer.

        Penalties and DRY consider at most `context_tokens` past tokens. Raises `EngineError` when
        llama.cpp rejects the grammar, or when a token of `logit_bias` is not in the vocabulary.
        """
        self.seed = secrets.randbelow(_RANDOM_SEED) if sampling.seed is None else sampling.seed
        self._native_seed = self.seed - (self.seed == _RANDOM_SEED)
        self._model = model
        self._context_tokens = context_tokens
        self._history_stages: list[
            tuple[Any, int]
        ] = []  # stages that count past tokens, and their number
        self._constraint: ConstrainedChoice | None = None
        self._chain = _new_chain()
        # A grammar is between the stages that change single logits and the others: this gives the
        # same tokens as a grammar before all of them, and less to check.
        self._logit_chain = self._chain if grammar is None else _new_chain()
        try:
            if grammar is not None:
                self._constraint = ConstrainedChoice(grammar, model, _truncation(sampling))
            self._add_logit_stages(sampling)
            if sampling.temperature < _MIN_TEMPERATURE:
                self._add(llama_cpp.llama_sampler_init_greedy())
            elif sampling.mirostat:
                self._add_mirostat(sampling)
            else:
                self._add_truncation_stages(sampling)
        except BaseException:
            self.close()
            raise

    def _add(self, stage: Any, chain: Any = None) -> Any:
        """Add a stage to a chain, which then owns it."""
        if not stage:
            raise EngineError(
                "llama.cpp cannot create a sampler. Change the sampling and try again."
            )
        llama_cpp.llama_sampler_chain_add(chain or self._chain, stage)
        return stage

    def _add_logit_stages(self, sampling: Sampling) -> None:
        """Add the stages that change the probability of single tokens."""
        if sampling.logit_bias:
            self._add(self._logit_bias(sampling), self._logit_chain)
        last_n = self._last_n(sampling.repeat_last_n)
        if last_n and (
            sampling.repeat_penalty != 1.0
            or sampling.frequency_penalty != 0.0
            or sampling.presence_penalty != 0.0
        ):
            stage = llama_cpp.llama_sampler_init_penalties(
                self._model.vocabulary_size,
                last_n,
                max(sampling.repeat_penalty, _MIN_PENALTY),
                sampling.frequency_penalty,
                sampling.presence_penalty,
            )
            self._history_stages.append((self._add(stage, self._logit_chain), last_n))
        last_n = self._last_n(sampling.dry_penalty_last_n)
        if last_n and sampling.dry_multiplier != 0.0:
            stage = llama_cpp.llama_sampler_init_dry(
                llama_cpp.llama_model_get_vocab(self._model.handle),
                sampling.dry_multiplier,
                sampling.dry_base,
                # Limited to the longest possible repetition, because llama.cpp adds to it.
                min(sampling.dry_allowed_length, self._context_tokens),
                last_n,
                (ctypes.c_char_p * len(_DRY_BREAKERS))(*_DRY_BREAKERS),
                len(_DRY_BREAKERS),
            )
            self._history_stages.append((self._add(stage, self._logit_chain), last_n))

    def _logit_bias(self, sampling: Sampling) -> Any:
        size = self._model.vocabulary_size
        unknown = [token for token in sampling.logit_bias if token >= size]
        if unknown:
            raise EngineError(
                f"logit_bias names token {unknown[0]}, and {self._model.name} has tokens 0 to "
                f"{size - 1}. Remove it from logit_bias."
            )
        biases = sampling.logit_bias
        array = (llama_cpp.llama_logit_bias * len(biases))()
        for index, (token, bias) in enumerate(biases.items()):
            array[index].token, array[index].bias = ctypes.c_int32(token), bias
        return llama_cpp.llama_sampler_init_logit_bias(size, len(biases), array)

    def _add_truncation_stages(self, sampling: Sampling) -> None:
        """Add the stages that remove improbable tokens, and the draw from the others."""
        if sampling.top_n_sigma > 0:
            self._add(llama_cpp.llama_sampler_init_top_n_sigma(sampling.top_n_sigma))
        self._add(llama_cpp.llama_sampler_init_top_k(sampling.top_k))
        self._add(llama_cpp.llama_sampler_init_typical(sampling.typical_p, 1))
        self._add(llama_cpp.llama_sampler_init_top_p(sampling.top_p, 1))
        self._add(llama_cpp.llama_sampler_init_min_p(sampling.min_p, 1))
        if sampling.xtc_probability > 0:
            self._add(
                llama_cpp.llama_sampler_init_xtc(
                    sampling.xtc_probability, sampling.xtc_threshold, 1, self._native_seed
                )
            )
        middle, reach = _dynamic_range(sampling)
        self._add(llama_cpp.llama_sampler_init_temp_ext(middle, reach, sampling.dynatemp_exponent))
        self._add(llama_cpp.llama_sampler_init_dist(self._native_seed))

    def _add_mirostat(self, sampling: Sampling) -> None:
        self._add(llama_cpp.llama_sampler_init_temp(sampling.temperature))
        tau, eta, seed = sampling.mirostat_tau, sampling.mirostat_eta, self._native_seed
        if sampling.mirostat == 1:
            stage = llama_cpp.llama_sampler_init_mirostat(
                self._model.vocabulary_size, seed, tau, eta, _MIROSTAT_M
            )
        else:
            stage = llama_cpp.llama_sampler_init_mirostat_v2(seed, tau, eta)
        self._add(stage)

    def _last_n(self, configured: int) -> int:
        """Return how many past tokens a stage considers.

        llama.cpp allocates memory for this many tokens at once and rejects -1.
        """
        return self._context_tokens if configured < 0 else min(configured, self._context_tokens)

    def accept_prompt(self, tokens: Sequence[int]) -> None:
        """Let penalties and DRY count the prompt, as llama-server does.

        The grammar does not get it, because the prompt is not part of the answer.
        """
        for stage, last_n in self._history_stages:
            for token in tokens[-last_n:]:
                llama_cpp.llama_sampler_accept(stage, token)

    def sample(self, context: Context, row: int) -> int:
        """Draw a token from the logits in `row` of the last batch, and record it in the chain."""
        if self._constraint is None:
            return int(llama_cpp.llama_sampler_sample(self._chain, context.handle, row))
        token = self._constraint.choose(context, row, self._logit_chain, self._chain)
        for chain in (self._logit_chain, self._chain):
            llama_cpp.llama_sampler_accept(chain, token)
        return token

    def close(self) -> None:
        """Free the chains and their stages. Idempotent."""
        self._history_stages.clear()
        if self._constraint is not None:
            self._constraint.close()
        if self._logit_chain is not self._chain:
            llama_cpp.llama_sampler_free(self._logit_chain)
        if self._chain:
            llama_cpp.llama_sampler_free(self._chain)
        self._logit_chain = self._chain = None


def _new_chain() -> Any:
    return llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())


def _truncation(sampling: Sampling) -> Truncation:
    """Return what of a sampling decides which tokens can be chosen."""
    if sampling.temperature < _MIN_TEMPERATURE:
        return Truncation(top_k=1)
    if sampling.mirostat:
        return Truncation(depends_on_all=True)
    return Truncation(
        top_k=max(sampling.top_k, 0),
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        depends_on_all=sampling.top_n_sigma > 0 or sampling.typical_p < 1,
    )


def _dynamic_range(sampling: Sampling) -> tuple[float, float]:
    """Return the middle of the temperature range of an answer, and the distance to its ends."""
    if not sampling.dynatemp_range:
        return sampling.temperature, 0.0
    minimum, maximum = _DYNAMIC_TEMPERATURES
    lowest = min(max(sampling.temperature - sampling.dynatemp_range, minimum), maximum)
    highest = min(max(sampling.temperature + sampling.dynatemp_range, minimum), maximum)
    return (lowest + highest) / 2, (highest - lowest) / 2
