"""Context trimming: the kept and removed turns, the stability of the prefix, and the cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from koel_tui.protocol.context_trimming import (
    Counters,
    TrimmedConversation,
    count_turns,
    trim_to_fit,
)


@dataclass(frozen=True)
class Line:
    """A message; a token is `token_size` characters of its text."""

    role: str
    text: str


Lines = tuple[Line, ...]
SYSTEM = Line("system", "s")


def size_of(lines: Sequence[Line]) -> int:
    return sum(len(line.text) for line in lines)


class Counted:
    """Token counters that record the texts they count."""

    def __init__(self, token_size: int = 1, added: int = 1) -> None:
        self._token_size = token_size
        self._added = added
        self.counted = 0
        self.measured: list[int] = []

    def tokens(self, lines: Sequence[Line]) -> int:
        return sum(self._count(line) + self._added for line in lines)

    def _count(self, line: Line) -> int:
        return len(line.text) // self._token_size

    def _measure(self, lines: Lines) -> int:
        self.measured.append(len(lines))
        return self.tokens(lines)

    def _note(self, line: Line) -> int:
        self.counted += 1
        return self._count(line)

    def trim(
        self, lines: Sequence[Line], context: int, reserve: int, turns: int = 0, size: int = 0
    ) -> TrimmedConversation[Line]:
        counters = Counters(self._measure, self._note, size_of)
        return trim_to_fit(
            lines,
            counters,
            context_tokens=context,
            reserve=reserve,
            omitted_turns=turns,
            omitted_size=size,
        )


def turn(question: str, answer: str = "a") -> Lines:
    return Line("user", question), Line("assistant", answer)


def tool_turn(question: str) -> Lines:
    return (
        *(Line("user", question), Line("assistant", "call")),
        *(Line("tool", "noon"), Line("assistant", "noon")),
    )


def joined(turns: Sequence[Lines]) -> Lines:
    return tuple(chain.from_iterable(turns))


def letters(most: int, least: int = 1) -> st.SearchStrategy[str]:
    return st.integers(least, most).map("x".__mul__)


turns = st.lists(
    st.builds(turn, letters(9), letters(9, 0)) | st.builds(tool_turn, letters(9)), max_size=20
)
long_turns = st.lists(st.builds(turn, letters(60), letters(60, 0)), max_size=40)
heads = st.lists(st.just(SYSTEM), max_size=2).map(tuple)
greetings = st.just(()) | st.just((Line("assistant", "hello"),))
newest = letters(9).map(lambda text: (Line("user", text),))


@given(heads, greetings, turns, newest, st.integers(1, 200), st.integers(0, 60))
def test_engine_case_25_the_head_the_newest_turn_and_whole_turns_stay(
    head: Lines, greeting: Lines, old: list[Lines], last: Lines, context: int, reserve: int
) -> None:
    parts = [*([greeting] if greeting else []), *old, last]
    counted = Counted()
    fitted = counted.trim(head + joined(parts), context, reserve)
    assert fitted.messages == head + joined(parts[fitted.dropped_turns :])
    assert fitted.tokens == counted.tokens(fitted.messages)
    if fitted.dropped_turns < len(parts) - 1:
        assert fitted.tokens + max(1, reserve) <= context


@given(
    heads, turns | long_turns, newest, st.integers(1, 200), st.integers(0, 60), st.integers(0, 8)
)
@example((), [turn("x" * 20)] * 9, (Line("user", "x"),), 100, 20, 3)
def test_trimming_removes_at_most_a_quarter_beyond_the_necessary(
    head: Lines, old: list[Lines], last: Lines, context: int, reserve: int, added: int
) -> None:
    """Compares the tokens with those of every possible prompt."""
    counted, parts = Counted(added=added), [*old, last]
    every = [counted.tokens(head + joined(parts[first:])) for first in range(len(parts))]
    max_tokens, quarter = context - max(1, reserve), max(1, context // 4)
    fitting = [first for first, tokens in enumerate(every) if tokens <= max_tokens]
    dropped = counted.trim(head + joined(parts), context, reserve).dropped_turns
    if not fitting:
        assert dropped == len(old)
    elif 0 in fitting:
        assert dropped == 0
    else:
        assert dropped in fitting
        assert dropped == fitting[0] or every[dropped] >= max_tokens - quarter


@given(turns | long_turns, newest, st.integers(8, 200), st.data())
def test_turns_that_the_caller_left_out_already_change_nothing(
    old: list[Lines], last: Lines, context: int, data: st.DataObject
) -> None:
    parts, counted = [*old, last], Counted()
    whole = counted.trim((SYSTEM, *joined(parts)), context, context // 4)
    too_large = [
        first
        for first in range(len(parts))
        if counted.tokens((SYSTEM, *joined(parts[first:]))) > context - context // 4
    ]
    omitted = data.draw(st.sampled_from([0, *too_large]))
    size = size_of(joined(parts[:omitted]))
    sent = (SYSTEM, *joined(parts[omitted:]))
    assert Counted().trim(sent, context, context // 4, omitted, size) == whole


@pytest.mark.parametrize("token_size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("size", [20, 40, 160])
def test_the_beginning_stays_the_same_while_an_eighth_or_more_is_added(
    token_size: int, size: int
) -> None:
    context, counted = 1024, Counted(token_size, added=4)
    lines: Lines = (SYSTEM,)
    beginnings, total = [0], []
    for number in range(8 * context // size):
        texts = (str((number * step) % 13) * (size * token_size // 2) for step in (5, 7))
        question, answer = map(Line, ("user", "assistant"), texts)
        fitted = counted.trim((*lines, question), context, context // 4)
        lines = (*lines, question, answer)
        if fitted.dropped_turns != beginnings[-1]:
            assert fitted.dropped_turns > beginnings[-1], "a turn that had left is back"
            beginnings.append(fitted.dropped_turns)
            total.append(counted.tokens(lines))
    added = total[-1] - total[0]
    assert len(beginnings) > 15
    assert added / (len(total) - 1) > context / 8, "the prompt is read again too often"


@given(heads, st.lists(st.builds(turn, letters(9), letters(9, 0)), min_size=5, max_size=80))
def test_a_turn_that_was_left_out_stays_out(head: Lines, conversation: list[Lines]) -> None:
    dropped = [
        Counted()
        .trim(head + joined(conversation[:count]) + conversation[count][:1], 120, 20)
        .dropped_turns
        for count in range(len(conversation))
    ]
    assert dropped == sorted(dropped)
    # A quarter is 30 tokens, and the turns between two changes have at most 20.
    sizes = [Counted().tokens(each) for each in conversation]
    changes = [count for count, (one, two) in enumerate(pairwise(dropped)) if one != two]
    assert len(changes) <= 2 + sum(sizes) / 15 / max(1, 30 // max(sizes))


def test_a_large_turn_stays_while_there_is_room_for_it() -> None:
    document = turn("d" * 50)
    grown = joined([*[turn("x" * 7)] * 4, document])
    dropped = []
    for _ in range(8):
        grown += turn("x" * 3)
        lines = (*grown, Line("user", "q"))
        fitted = Counted().trim(lines, 100, 20)
        assert (document[0] in fitted.messages) == (Counted().tokens(lines) - 40 <= 80)
        dropped.append(fitted.dropped_turns)
    assert dropped == sorted(dropped)
    assert {4, 5} <= set(dropped)


@pytest.mark.parametrize("context", [10**6, 5000, 100, 12])
def test_few_prompts_are_measured(context: int) -> None:
    counted = Counted()
    lines = (SYSTEM, *joined([turn("question")] * 1000), Line("user", "last"))
    fitted = counted.trim(lines, context, 4)
    assert fitted.messages[-1].text == "last"
    assert len(counted.measured) <= (1 if context == 10**6 else 4)


@pytest.mark.parametrize("added", [0, 5])
@pytest.mark.parametrize("size", [3, 30, 300])
def test_the_work_follows_the_context_and_not_the_conversation(size: int, added: int) -> None:
    work = {}
    for count in (1000, 30_000):
        counted = Counted(added=added)
        counted.trim((SYSTEM, *joined([turn("q" * size)] * count), Line("user", "?")), 512, 128)
        work[count] = counted.counted, sum(counted.measured)
    assert work[30_000][0] <= 1.5 * work[1000][0]
    assert work[30_000][1] <= 1.5 * work[1000][1]


@given(turns, st.lists(st.integers(-30, 30), min_size=1, max_size=9), st.integers(20, 200))
def test_a_template_that_adds_any_number_of_tokens_gets_a_prompt_that_fits(
    old: list[Lines], added: list[int], context: int
) -> None:
    def measure(lines: Lines) -> int:
        each = (added[len(line.text) % len(added)] for line in lines)
        return max(0, sum(len(line.text) for line in lines) + sum(each))

    lines = (*joined(old), Line("user", "?"))
    counters = Counters(measure, lambda line: len(line.text), size_of)
    fitted = trim_to_fit(lines, counters, context_tokens=context, reserve=10)
    assert fitted.tokens == measure(fitted.messages)
    assert fitted.tokens <= context - 10 or fitted.messages == lines[-1:]


def test_the_reserve_shrinks_for_the_newest_turn() -> None:
    lines = (SYSTEM, *turn("old"), Line("user", "x" * 90))
    fitted = Counted().trim(lines, 100, 50)
    assert fitted == TrimmedConversation((SYSTEM, lines[-1]), 93, 1)


def test_a_newest_turn_larger_than_the_context_stays_with_its_tokens() -> None:
    alone = (Line("user", "x" * 200),)
    assert Counted().trim(alone, 100, 1) == TrimmedConversation(alone, 201, 0)
    fitted = Counted().trim((*turn("old"), *alone), 100, 1)
    assert fitted == TrimmedConversation(alone, 201, 1)


def test_an_empty_conversation_and_a_lone_system_prompt_are_not_trimmed() -> None:
    assert Counted().trim((), 10, 1) == TrimmedConversation((), 0, 0)
    assert Counted().trim((SYSTEM,), 10, 1).messages == (SYSTEM,)


def test_a_turn_is_a_user_message_and_the_messages_after_it() -> None:
    parts = [turn("a"), tool_turn("b"), (Line("user", "c"),)]
    assert count_turns(joined(parts)) == count_turns(joined(parts)[1:]) == 3
    assert count_turns(parts[1]) == 1
    assert count_turns(()) == 0
