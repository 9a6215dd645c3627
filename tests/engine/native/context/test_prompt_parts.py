"""The parts of a prompt: positions are not counts, and media are compared by their content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.engine.native.context.prompt_parts import (
    MediaPart,
    Part,
    PromptParts,
    common_prefix,
)

CAT, DOG = MediaPart("sha256:cat", 256, 1), MediaPart("sha256:dog", 256, 1)
SOUND = MediaPart("sha256:sound", 10, 10)
PARTS = st.lists(st.integers(0, 2) | st.sampled_from([CAT, DOG, SOUND]))


@given(PARTS, PARTS)
def test_common_prefix_is_the_longest(held: list[Part], wanted: list[Part]) -> None:
    length = PromptParts(held).common_prefix(wanted)
    assert length == common_prefix(held, wanted)
    assert held[:length] == wanted[:length]
    assert held[length : length + 1] != wanted[length : length + 1] or not (
        held[length:] and wanted[length:]
    )


def test_an_image_takes_all_its_tokens_and_few_positions() -> None:
    parts = PromptParts([7, CAT, 8, SOUND, 9])
    assert len(parts) == 5
    assert parts.tokens == 3 + 256 + 10
    assert parts.positions == 3 + 1 + 10
    assert [parts.position(count) for count in range(6)] == [0, 1, 2, 3, 13, 14]


def test_another_image_of_the_same_size_ends_the_prefix() -> None:
    parts = PromptParts([7, CAT, 8])
    assert parts.common_prefix([7, CAT, 8, 9]) == 3
    assert parts.common_prefix([7, DOG, 8, 9]) == 1
    assert parts.common_prefix([7, MediaPart("sha256:cat", 64, 1), 8]) == 1


@given(PARTS, PARTS, st.integers(0, 20))
def test_counts_follow_every_change(first: list[Part], second: list[Part], count: int) -> None:
    parts = PromptParts(first)
    parts.truncate(count)
    parts.extend(second)
    expected = [*first[:count], *second]
    assert list(parts) == expected and parts == PromptParts(expected)
    tokens = [1 if isinstance(part, int) else part.tokens for part in expected]
    positions = [1 if isinstance(part, int) else part.positions for part in expected]
    assert parts.tokens == sum(tokens)
    assert parts.positions == sum(positions)
    assert parts.position(count) == sum(positions[:count]) + max(0, count - len(expected))


def test_a_copy_does_not_change_with_the_original() -> None:
    parts = PromptParts([1, CAT])
    copied = parts.copy()
    parts.clear()
    parts.extend([2])
    assert (list(parts), list(copied), copied.tokens) == ([2], [1, CAT], 257)


def test_the_positions_of_a_text_need_no_look_at_its_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The positions of a text are computed without iterating over its tokens."""
    parts = PromptParts(range(10_000))
    looked_at = []
    monkeypatch.setattr(PromptParts, "_medium", lambda _, index: looked_at.append(index))
    assert (parts.tokens, parts.positions, parts.position(5000)) == (10_000, 10_000, 5000)
    assert looked_at == []
