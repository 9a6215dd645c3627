"""Overflow: leaving out the oldest turns of a conversation that outgrew its window."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from koel_tui.engine.errors import ContextOverflowError
from koel_tui.engine.values import ChatMessage

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
    results. The oldest turns leave first and no more than needed; the system messages at the head
    and the newest turn always stay, even if they leave the answer less than `reserve`. `prompt_of`
    returns the tokens of a prompt; it costs, so it is asked for as few prompts as a binary search
    needs, one when everything fits.

    Raises `ContextOverflowError` when even the newest turn fills the window.
    """
    head = tuple(takewhile(lambda message: message.role == "system", messages))
    turns = _turns(messages[len(head) :])

    def without(left_out: int) -> Fitted:
        kept = head + tuple(message for turn in turns[left_out:] for message in turn)
        return Fitted(kept, prompt_of(kept), left_out)

    longest = window - max(1, reserve)
    best: Fitted | None = None
    fewest, most = 0, max(0, len(turns) - 1)
    probe = fewest  # nearly always everything fits
    while fewest < most:
        tried = without(probe)
        if len(tried.prompt) <= longest:
            best, most = tried, probe
        else:
            fewest = probe + 1
        probe = (fewest + most) // 2
    if best is None or best.left_out != most:
        best = without(most)
    if len(best.prompt) >= window:
        raise ContextOverflowError(
            f"{_subject(turns)} takes {len(best.prompt)} tokens, the window has {window}. "
            "Shorten it or use a larger window (--context-tokens)."
        )
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
