"""Overflow: leaving out the oldest turns of a conversation that outgrew its window."""

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
class Fitted:
    """What is sent to the model: the messages, their prompt, and how many turns were left out."""

    messages: Messages
    prompt: Sequence[int]
    left_out: int


def fit(
    messages: Messages,
    prompt_of: Callable[[Messages], Sequence[int]],
    *,
    window: int,
    reserve: int,
) -> Fitted:
    """Return as much of the conversation as leaves `reserve` of the window's tokens to the answer.

    A turn is a user message and everything up to the next one, so tool calls stay with their
    results. The oldest turns leave first; the system messages at the head and the newest turn
    always stay, even if they leave the answer less than `reserve`.

    Turns leave a quarter of the window at a time, so that the prompt begins the same for some
    turns to come and is not read anew for each: of the tokens beyond the window, whole quarters
    are counted, and the turns within these go. How many that are follows from the conversation
    alone. A turn that is larger than a quarter stays as long as there is room for it.

    `prompt_of` returns the tokens of a prompt; it costs, so it is asked for as few prompts as a
    binary search needs, one when everything fits. Raises `ContextOverflowError` when even the
    newest turn fills the window.
    """
    head = tuple(takewhile(lambda message: message.role == "system", messages))
    turns = _turns(messages[len(head) :])

    @cache
    def without(left_out: int) -> Fitted:
        kept = head + tuple(message for turn in turns[left_out:] for message in turn)
        return Fitted(kept, prompt_of(kept), left_out)

    longest = window - max(1, reserve)
    best = without(0)
    if len(best.prompt) > longest and len(turns) > 1:
        best = _trimmed(without, len(turns) - 1, longest, quarter=max(1, window // 4))
    if len(best.prompt) >= window:
        raise ContextOverflowError(
            f"{_subject(turns)} takes {len(best.prompt)} tokens, the window has {window}. "
            "Shorten it or use a larger window (--context-tokens)."
        )
    return best


def _trimmed(without: Callable[[int], Fitted], most: int, longest: int, *, quarter: int) -> Fitted:
    """Return what is left when up to `most` turns leave, of a whole that is over `longest`."""
    total = len(without(0).prompt)
    excess = total - longest
    target = total - math.ceil(excess / quarter) * quarter
    left_out = bisect_left(
        range(most), True, lo=1, key=lambda count: len(without(count).prompt) <= target
    )
    more, best = without(left_out - 1), without(left_out)
    if len(best.prompt) + quarter < len(more.prompt) <= longest:
        return more
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
