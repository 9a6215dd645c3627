"""Context trimming: the oldest turns of a conversation that exceeds the context are left out. Pure.

The number of turns to leave out depends only on the conversation. The work follows the context, not
the length of the conversation: only the newest turns are counted, from the last one back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, Protocol, TypeVar

_SURE_CHARACTERS = 3
"""Characters per token of the context that probably fit, so the whole prompt is measured first."""
_CELL_CHARACTERS = 3.2
"""Characters per token of dense text, for the size of a cell of the grid."""
_CELL_STEPS = 64
"""Number of steps of the finest grid in one of the coarsest."""


class RoleMessage(Protocol):
    """A message of any kind that has a role: system, user, assistant or tool."""

    @property
    def role(self) -> str:
        """The role of the message."""
        ...


M = TypeVar("M", bound=RoleMessage)


@dataclass(frozen=True, slots=True)
class TrimmedConversation(Generic[M]):
    """The messages for the model, their measured tokens, and the number of turns left out."""

    messages: tuple[M, ...]
    tokens: int
    dropped_turns: int


@dataclass(frozen=True, slots=True)
class Counters(Generic[M]):
    """The sizes by which a conversation is trimmed.

    `measure` returns the tokens of a prompt; it is exact and expensive. `count` returns the tokens
    of the text of a message. `size` returns the characters of messages; it is fast, because it gets
    the whole conversation.
    """

    measure: Callable[[tuple[M, ...]], int]
    count: Callable[[M], int]
    size: Callable[[Sequence[M]], int]


def trim_to_fit(
    messages: Sequence[M],
    counters: Counters[M],
    *,
    context_tokens: int,
    reserve: int,
    omitted_turns: int = 0,
    omitted_size: int = 0,
) -> TrimmedConversation[M]:
    """Return as much of the conversation as leaves `reserve` tokens of the context to the answer.

    A turn is a user message and everything up to the next one, so tool calls stay with their
    results. The oldest turns are left out first. The system messages at the start and the newest
    turn always stay, even if they leave the answer less than `reserve`: compare `tokens` of the
    result with the context.

    Up to a quarter of the context more than necessary is left out, so that the prompt keeps its
    prefix for some turns and is not evaluated again for each. The first turn that stays is one at a
    step of a grid over the characters of the conversation. It stays until it no longer fits. A turn
    that is larger than a quarter is kept as long as it fits.

    `omitted_turns` and `omitted_size` are the number and the size of the turns that the caller has
    left out already, because they cannot fit. The system messages do not count.
    """
    head = tuple(takewhile(lambda message: message.role == "system", messages))
    turns = _Turns(messages[len(head) :], counters.size, omitted_size)
    measured: dict[int, int] = {}

    def tokens(first: int) -> int:
        if first not in measured:
            measured[first] = counters.measure(head + turns.since(first))
        return measured[first]

    max_tokens = context_tokens - max(1, reserve)
    is_short = not omitted_turns and turns.size <= _SURE_CHARACTERS * context_tokens
    first = 0
    if turns.count > 1 and not (is_short and tokens(0) <= max_tokens):
        estimate = _Estimate(turns, counters.count, max_tokens, context_tokens)
        first = _find_first(estimate, tokens, 0 if is_short else None)
    return TrimmedConversation(head + turns.since(first), tokens(first), omitted_turns + first)


def count_turns(messages: Sequence[RoleMessage]) -> int:
    """Return the number of turns of a conversation without its system messages at the start."""
    users = [message.role for message in messages].count("user")
    return users + bool(messages and messages[0].role != "user")


class _Turns(Generic[M]):
    """The turns of a conversation, found from the newest one back as far as they are needed."""

    def __init__(
        self, messages: Sequence[M], size: Callable[[Sequence[M]], int], omitted_size: int
    ) -> None:
        self._messages = messages
        self._size = size
        self.count = count_turns(messages)
        self.size = size(messages)
        # The ends of the turns, the newest first: indexes of messages, and positions in characters.
        self._ends = [len(messages)]
        self._positions = [omitted_size + self.size]

    def __getitem__(self, turn: int) -> Sequence[M]:
        return self._messages[self._end(turn - 1) : self._end(turn)]

    def since(self, turn: int) -> tuple[M, ...]:
        """Return the messages of a turn and all newer ones."""
        return tuple(self._messages[self._end(turn - 1) :]) if turn else tuple(self._messages)

    def rank(self, turn: int, step: int) -> int:
        """Return how coarse the grid is that has a step within a turn: 0 if none has.

        `step` is that of the finest grid. The step of each other one is twice as large.
        """
        self._end(turn - 1)
        age = self.count - 1 - turn
        end, start = self._positions[age : age + 2]
        return (start // step ^ end // step).bit_length()

    def _end(self, turn: int) -> int:
        """Return the index of the message after a turn; -1 is before the first turn."""
        age = self.count - 1 - turn
        while len(self._ends) <= age:
            end = self._ends[-1]
            begin = end - 1
            while begin > 0 and self._messages[begin].role != "user":
                begin -= 1
            self._ends.append(begin)
            self._positions.append(self._positions[-1] - self._size(self._messages[begin:end]))
        return self._ends[age]


class _Estimate(Generic[M]):
    """The estimated tokens of prompts that begin with a turn, and the turn to begin with.

    A prompt is the system messages and the newest turn, whose tokens are measured, and older turns,
    whose tokens are those of their text and a number per message that the template adds.
    """

    def __init__(
        self,
        turns: _Turns[M],
        count: Callable[[M], int],
        max_tokens: int,
        context_tokens: int,
    ) -> None:
        self._turns = turns
        self._count = count
        self._quarter = max(1, context_tokens // 4)
        # The coarsest grid has a step in each quarter of the context, unless the text has fewer
        # characters per token. Then a finer one has.
        self._step = max(1, int(self._quarter * _CELL_CHARACTERS) // _CELL_STEPS)
        self._counts: dict[int, int] = {}
        self.newest = turns.count - 1
        self.max_tokens = max_tokens

    def choose(self, newest_tokens: int, sample: int | None, sample_tokens: int) -> int:
        """Return the turn to begin with, the newest one if no older one fits.

        The prompt of the newest turn has `newest_tokens`, the one that begins with the turn
        `sample` has `sample_tokens`. Without a sample, templates add no tokens.
        """
        text, messages = (0, 1) if sample is None else self._sum(sample)
        added = 0 if sample is None else sample_tokens - newest_tokens - text
        fitting: list[tuple[int, int]] = []  # turns and their tokens, the newest first
        total = count = 0
        for first in reversed(range(self.newest)):
            total += self._text_tokens(first)
            count += len(self._turns[first])
            tokens = newest_tokens + total + added * count // messages
            if tokens > self.max_tokens:
                break
            fitting.append((first, tokens))
        if not fitting:
            return self.newest
        oldest, _ = fitting[-1]
        least = self.max_tokens - self._quarter
        choices = [first for first, tokens in reversed(fitting) if tokens >= least] or [oldest]
        return oldest if oldest == 0 else max(choices, key=self._rank)

    def _rank(self, turn: int) -> int:
        return min(_CELL_STEPS.bit_length(), self._turns.rank(turn, self._step))

    def _sum(self, first: int) -> tuple[int, int]:
        """Return the tokens of the text and the number of messages from a turn to the newest."""
        older = range(first, self.newest)
        return sum(map(self._text_tokens, older)), sum(len(self._turns[index]) for index in older)

    def _text_tokens(self, turn: int) -> int:
        if turn not in self._counts:
            self._counts[turn] = sum(map(self._count, self._turns[turn]))
        return self._counts[turn]


def _find_first(estimate: _Estimate[M], measure: Callable[[int], int], sample: int | None) -> int:
    """Return the turn to begin with, whose prompt fits; the newest one if no other fits.

    `measure` returns the tokens of the prompt that begins with a turn. `sample` is a turn whose
    prompt does not fit. Each measured prompt corrects the estimate, until the choice is one that
    has been measured. The estimate of a measured prompt is exact, so the choice then fits.
    """
    newest_tokens = measure(estimate.newest)
    fits = {estimate.newest: True}  # or at least no other one does
    if newest_tokens > estimate.max_tokens:
        return estimate.newest
    if sample is not None:
        fits[sample] = False
    first = estimate.choose(newest_tokens, sample, 0 if sample is None else measure(sample))
    failures = 0
    while first not in fits:
        tokens = measure(first)
        fits[first] = tokens <= estimate.max_tokens
        chosen = estimate.choose(newest_tokens, first, tokens)
        if not fits[first]:  # skip more turns each time, so that few prompts are measured
            chosen = min(estimate.newest, max(chosen, first + (1 << failures)))
            failures += 1
        first = chosen
    return first if fits[first] else min(each for each, is_fit in fits.items() if is_fit)
