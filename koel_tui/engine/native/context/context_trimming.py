"""Context trimming: drops the oldest turns of a conversation that exceeds the context."""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile

from koel_tui.engine.errors import ContextOverflowError
from koel_tui.engine.types import ChatMessage

Messages = tuple[ChatMessage, ...]


@dataclass(frozen=True, slots=True)
class TrimmedConversation:
    """The input of the model: the messages, their prompt, and the number of dropped turns."""

    messages: Messages
    prompt: Sequence[int]
    dropped_turns: int


def trim_to_fit(
    messages: Messages,
    render_prompt: Callable[[Messages], Sequence[int]],
    *,
    context_tokens: int,
    reserve: int,
) -> TrimmedConversation:
    """Return as much of the conversation as leaves `reserve` tokens of the context to the answer.

    A turn is a user message and everything up to the next one, so tool calls stay with their
    results. The oldest turns are dropped first. The system messages at the start and the newest
    turn are never dropped, even if they leave the answer less than `reserve`.

    The excess tokens are rounded up to whole quarters of the context, and the turns within these
    are dropped. So the prompt keeps its prefix for some turns and is not prefilled for each.
    The number of dropped turns depends only on the conversation. A turn that is larger than a
    quarter is kept as long as it fits.

    `render_prompt` returns the tokens of a prompt. It is expensive, so it is called only as often
    as a binary search needs, once when everything fits. Raises `ContextOverflowError` when even the
    newest turn fills the context.
    """
    head = tuple(takewhile(lambda message: message.role == "system", messages))
    turns = _turns(messages[len(head) :])

    @cache
    def without(dropped_turns: int) -> TrimmedConversation:
        kept = head + tuple(message for turn in turns[dropped_turns:] for message in turn)
        return TrimmedConversation(kept, render_prompt(kept), dropped_turns)

    max_tokens = context_tokens - max(1, reserve)
    best = without(0)
    if len(best.prompt) > max_tokens and len(turns) > 1:
        best = _drop_turns(without, len(turns) - 1, max_tokens, quarter=max(1, context_tokens // 4))
    if len(best.prompt) >= context_tokens:
        raise ContextOverflowError(
            f"{_subject(turns)} takes {len(best.prompt)} tokens, the context has {context_tokens}. "
            "Shorten it or use a larger context (--context-tokens)."
        )
    return best


def _drop_turns(
    without: Callable[[int], TrimmedConversation],
    max_dropped: int,
    max_tokens: int,
    *,
    quarter: int,
) -> TrimmedConversation:
    """Drop 1 to `max_dropped` turns of a conversation whose prompt exceeds `max_tokens`."""
    total = len(without(0).prompt)
    excess = total - max_tokens
    target = total - math.ceil(excess / quarter) * quarter
    dropped_turns = bisect_left(
        range(max_dropped), True, lo=1, key=lambda count: len(without(count).prompt) <= target
    )
    fewer_dropped, best = without(dropped_turns - 1), without(dropped_turns)
    if len(best.prompt) + quarter < len(fewer_dropped.prompt) <= max_tokens:
        return fewer_dropped
    return best


def _turns(messages: Messages) -> list[list[ChatMessage]]:
    turns: list[list[ChatMessage]] = []
    for message in messages:
        if message.role == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _subject(turns: list[list[ChatMessage]]) -> str:
    return "The newest turn with the system prompt" if len(turns) > 1 else "The conversation"
