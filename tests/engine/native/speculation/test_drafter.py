"""The drafts of an answer: earlier gains decide the time and the length of a draft."""

from itertools import pairwise

from koel_tui.engine.native.speculation.draft_costs import DraftCosts
from koel_tui.engine.native.speculation.drafter import Drafter
from koel_tui.engine.native.speculation.prompt_lookup import MAX_MATCH, PromptLookup

SINGLE_S = 0.010


def costs(draft_token_s: float) -> DraftCosts:
    """Return costs in which a draft token takes `draft_token_s` seconds."""
    measured = DraftCosts()
    for _ in range(50):
        measured.record_single(SINGLE_S)
        measured.record_draft(9, 9 * draft_token_s)
    return measured


def repeating(match: int, of: DraftCosts) -> Drafter:
    """Return the drafter of an answer whose last `match` tokens are a repetition."""
    tokens = list(range(300))
    drafter = Drafter(PromptLookup(tokens), of)
    tokens += [999, *range(match)]
    return drafter


def test_drafts_begin_after_some_repeated_tokens() -> None:
    assert repeating(7, costs(0.003)).draft(100) == []
    assert repeating(8, costs(0.003)).draft(100) == list(range(8, 16))


def test_drafts_of_right_tokens_become_longer() -> None:
    drafter, lengths = repeating(20, costs(0.003)), []
    for _ in range(4):
        lengths.append(len(drafter.draft(100)))
        drafter.record(lengths[-1], lengths[-1])
    assert lengths == [8, 16, 32, 32]
    drafter.record(32, 31)
    assert len(drafter.draft(100)) == 8


def test_drafts_are_at_most_as_long_as_the_answer_may_be() -> None:
    drafter = repeating(20, costs(0.003))
    assert len(drafter.draft(8)) == 8
    assert drafter.draft(7) == []  # seven tokens save too little time


def test_a_draft_that_is_wrong_needs_more_repeated_tokens_next_time() -> None:
    drafter = repeating(20, costs(0.003))
    drafter.record(8, 0)
    assert drafter.draft(100)
    drafter.record(8, 1)
    assert drafter.draft(100) == []


def test_a_successful_draft_lowers_the_required_number_of_repeated_tokens() -> None:
    drafter = repeating(20, costs(0.003))
    for accepted in (0, 0, 3):
        drafter.record(8, accepted)
    assert drafter.draft(100)


def test_drafting_stops_for_an_answer_whose_drafts_are_wrong() -> None:
    drafter = repeating(MAX_MATCH + 10, costs(0.003))
    for _ in range(3):
        assert drafter.draft(100)
        drafter.record(8, 0)
    assert drafter.draft(100)
    drafter.record(8, 0)
    assert drafter.draft(100) == []


def test_drafting_is_off_on_a_computer_without_a_gain() -> None:
    assert repeating(20, costs(0.0095)).draft(100) == []
    assert repeating(20, costs(0.0085)).draft(100)


def test_drafts_that_gain_nothing_are_tried_again_later() -> None:
    slow = costs(0.02)
    drafter = repeating(20, slow)
    tries = []
    for number in range(1200):
        if drafter.draft(100):
            tries.append(number)
            slow.record_draft(9, 9 * 0.02)
    begins = [number for number in tries if number - 1 not in tries]
    assert len(tries) == 3 * len(begins)
    assert [later - before - 2 for before, later in pairwise(begins)] == [
        32,
        64,
        128,
        256,
        256,
        256,
    ]
    while not drafter.draft(100):
        pass
    for _ in range(10):
        slow.record_draft(9, 9 * 0.003)
        assert drafter.draft(100)
    for _ in range(10):
        slow.record_draft(9, 9 * 0.02)
    refused = 1
    while not drafter.draft(100):
        refused += 1
    assert refused == 16


def test_a_single_slow_step_does_not_end_the_drafts() -> None:
    measured = DraftCosts()
    drafter = repeating(20, measured)
    for seconds in (2.0, 0.003, 0.003, 0.003):
        measured.record_single(SINGLE_S)
        measured.record_draft(9, 9 * seconds)
        assert drafter.draft(100)
