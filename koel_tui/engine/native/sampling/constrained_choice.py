"""The choice of a token that a grammar allows, without a check of the whole vocabulary."""

import math
from dataclasses import dataclass
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.context.llama_context import Context
from koel_tui.engine.native.sampling.grammar import grammar_stage
from koel_tui.engine.native.weights import Model

_MARGIN = 8.0
"""Distance below the highest logit, and below that of the best allowed token, to check at first.

A greedy answer needs the best allowed token only, so the most probable token is checked first.
"""
_STEP = 6.0
"""Distance by which more is checked."""
_MAX_CHECKS = 4
"""Number of checks before that of the whole vocabulary."""
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""The memory layout of `llama_token_data`."""

Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Truncation:
    """The stages that remove candidates, to decide which tokens can be chosen at all.

    `top_k` 0, `top_p` 1 and `min_p` 0 remove nothing. `depends_on_all` is whether another stage
    depends on the least probable tokens, too.
    """

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    depends_on_all: bool = False

    def is_decided(self, allowed: Logits, logits: Logits, threshold: float) -> bool:
        """Return whether tokens with logits below `threshold` cannot change the choice.

        `allowed` are the logits of the allowed tokens from the threshold on, `logits` those of all
        tokens.
        """
        if threshold == -math.inf:
            return True
        if not len(allowed) or self.depends_on_all:
            return False
        missing = self.top_k - len(allowed)
        if self.top_k and missing <= 0:
            return True
        best = float(allowed.max())
        highest = math.exp(threshold - best)
        if self.top_k:
            others = missing * highest
        else:
            others = float(np.exp(logits[logits < threshold] - best).sum(dtype=np.float64))
        return self._removes(np.exp(allowed - best), others, highest)

    def _removes(self, allowed: Logits, others: float, highest: float) -> bool:
        """Return whether top-p and min-p remove every token that was not checked.

        The arguments are proportional to probabilities: those of the allowed tokens, at most
        `others` in total for all unchecked tokens, and at most `highest` for each. The allowed
        tokens that top-p keeps must be the same for any total from 0 to `others`.
        """
        removed = highest <= self.min_p
        if self.top_p < 1:
            total = np.cumsum(np.sort(allowed)[::-1], dtype=np.float64)
            lowest, most = np.searchsorted(
                total, (self.top_p * total[-1], self.top_p * (total[-1] + others))
            )
            return bool(lowest == most and (removed or most < len(total)))
        return removed


class ConstrainedChoice:
    """The choice of tokens that fit a grammar. Close it.

    Checking a token takes far longer than computing its logit, so a check of the whole vocabulary
    can take longer than decoding. Only the most probable tokens are checked, until those that are
    left cannot change the choice. The choice is that of a grammar as the first stage of the chain:
    with the same seed the same tokens are chosen.
    """

    def __init__(self, grammar: str, model: Model, truncation: Truncation) -> None:
        """Raises `EngineError` when llama.cpp rejects the grammar, given in GBNF."""
        self._stage = grammar_stage(grammar, model)
        self._model = model
        self._truncation = truncation

    def choose(self, context: Context, row: int, logit_chain: Any, chain: Any) -> int:
        """Choose a token by the logits in `row` of the last batch, and record it in the grammar.

        `logit_chain` has the stages that change the logits of single tokens, `chain` the others.
        Raises `EngineError` if the grammar allows no token.
        """
        size = self._model.vocabulary_size
        pointer = llama_cpp.llama_get_logits_ith(context.handle, row)
        logits = np.ctypeslib.as_array(pointer, (size,))
        if llama_cpp.llama_sampler_chain_n(logit_chain):
            candidates = _candidates(np.arange(size, dtype=np.int32), logits)
            _apply(logit_chain, candidates)
            logits = np.ascontiguousarray(candidates["logit"])
        allowed = self._allowed_candidates(logits)
        array = _apply(chain, allowed)
        token = int(array.data[array.selected].id)
        llama_cpp.llama_sampler_accept(self._stage, token)
        return token

    def _allowed_candidates(self, logits: Logits) -> NDArray[np.void]:
        """Return the allowed tokens that the stages of the chain can choose, by increasing id."""
        threshold = float(logits.max())
        if self._truncation.top_k != 1:
            threshold -= _MARGIN
        if self._truncation.depends_on_all:
            threshold = -math.inf
        allowed = self._check(logits, logits >= threshold)
        checks = 1
        while not self._truncation.is_decided(allowed["logit"], logits, threshold):
            checked_to = threshold
            threshold -= _STEP
            if len(allowed):
                threshold = min(threshold, float(allowed["logit"].max()) - _MARGIN)
            if checks == _MAX_CHECKS:
                threshold = -math.inf
            more = self._check(logits, (logits >= threshold) & (logits < checked_to))
            allowed = np.concatenate((allowed, more))
            checks += 1
        if not len(allowed):
            raise EngineError(
                f"The schema allows none of the tokens that {self._model.name} can write next. "
                "Use a simpler schema."
            )
        return allowed[np.argsort(allowed["id"])]

    def _check(self, logits: Logits, included: NDArray[np.bool_]) -> NDArray[np.void]:
        """Return those of the included tokens that the grammar allows."""
        ids = np.flatnonzero(included).astype(np.int32)
        candidates = _candidates(ids, logits[ids])
        _apply(self._stage, candidates)
        return candidates[candidates["logit"] > -np.inf]

    def close(self) -> None:
        """Free the grammar. Idempotent."""
        if self._stage:
            llama_cpp.llama_sampler_free(self._stage)
            self._stage = None


def _candidates(ids: NDArray[np.int32], logits: Logits) -> NDArray[np.void]:
    """Return an array of `llama_token_data`."""
    candidates = np.zeros(len(ids), _CANDIDATE)
    candidates["id"], candidates["logit"] = ids, logits
    return candidates


def _apply(stage: Any, candidates: NDArray[np.void]) -> Any:
    """Apply a stage or a chain; return llama.cpp's record of the candidates that are left.

    The record points into the memory of `candidates`.
    """
    data: Any = candidates.ctypes.data_as(llama_cpp.llama_token_data_p)
    records = (llama_cpp.llama_token_data_array * 1)()
    records[0].data = data
    records[0].size, records[0].selected = len(candidates), -1
    llama_cpp.llama_sampler_apply(stage, records)
    return records[0]
