"""Drafts from earlier text, compared with a linear search through the text."""

from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.native.speculation.prompt_lookup import MAX_MATCH, PromptLookup

TOKENS = st.lists(st.integers(0, 2), max_size=60)


def longest_match(tokens: list[int], source: int) -> int:
    """Return the number of tokens before `source` that equal those at the end."""
    count = 0
    while count < source and tokens[source - 1 - count] == tokens[len(tokens) - 1 - count]:
        count += 1
    return min(count, MAX_MATCH)


def continued(tokens: list[int], source: int, count: int) -> list[int]:
    """Return the tokens from `source` on, as if the repetition continues."""
    whole = list(tokens)
    for index in range(source, source + count):
        whole.append(whole[index])
    return whole[len(tokens) :]


@given(prompt=TOKENS, answer=TOKENS, count=st.integers(0, 40))
def test_draft_follows_a_place_that_equals_the_end(
    prompt: list[int], answer: list[int], count: int
) -> None:
    tokens = list(prompt)
    lookup = PromptLookup(tokens)
    for token in answer:
        tokens.append(token)
        draft, match = lookup.draft(count), lookup.match
        places = range(3, len(tokens))
        found = [each for each in places if longest_match(tokens, each) >= 3]
        if not found:
            assert (draft, match) == ([], 0)
            continue
        options = [(continued(tokens, each, count), longest_match(tokens, each)) for each in found]
        assert (draft, match) in options


def test_draft_continues_the_latest_repetition() -> None:
    tokens = [1, 2, 3, 4, 9, 9, 1, 2, 3, 5, 8, 8]
    lookup = PromptLookup(tokens)
    tokens += [1, 2, 3]
    assert lookup.draft(3) == [5, 8, 8]
    tokens.append(4)  # the repetition has ended; the last tokens now match another place
    assert (lookup.draft(2), lookup.match) == ([9, 9], 4)
    tokens.append(7)
    assert (lookup.draft(3), lookup.match) == ([], 0)


def test_draft_of_a_short_period_repeats_it() -> None:
    tokens = [7, 8]
    lookup = PromptLookup(tokens)
    for _ in range(3):
        tokens += [7, 8]
    assert lookup.draft(5) == [7, 8, 7, 8, 7]


def test_match_is_counted_up_to_its_limit() -> None:
    tokens = list(range(200))
    lookup = PromptLookup(tokens)
    tokens += range(100)
    assert (lookup.match, lookup.draft(2)) == (MAX_MATCH, [100, 101])
