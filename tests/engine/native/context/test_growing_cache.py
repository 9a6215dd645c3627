"""The KV cache: it grows with the sessions, keeps their states, and copies if it saves time."""

from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine.errors import ModelLoadError
from koel_tui.engine.native.context.prompt_parts import MediaPart, Part
from tests.engine.native.context.fake_context import (
    BYTES_PER_TOKEN,
    FakeContext,
    answered,
    cache_over,
)


def prompt_of(session: int, length: int = 20) -> list[Part]:
    return [session * 1000 + index for index in range(length)]


def shape(context: FakeContext) -> list[str]:
    return [each for each in context.log if each.split()[0] in ("create", "close", "refuse")]


def test_slots_double_with_the_sessions_in_use_up_to_the_maximum() -> None:
    context = FakeContext()
    cache = cache_over(context, 9)
    counts = []
    for session in range(12):
        answered(cache, context, session, prompt_of(session), set())
        counts.append(context.slots)
    assert counts == [1, 2, 4, 4, 8, 8, 8, 8, 9, 9, 9, 9]
    assert shape(context) == [
        "create 2", "close 1", "create 4", "close 2", "create 8", "close 4", "create 9", "close 8",
    ]  # fmt: skip


def test_a_moved_session_is_loaded_when_it_is_next_used() -> None:
    context = FakeContext()
    cache = cache_over(context, 2)
    answered(cache, context, 1, prompt_of(1), set())
    context.log.clear()
    answered(cache, context, 2, prompt_of(2), set())
    assert context.log[:3] == ["create 2", "copy 0", "close 1"]
    assert "load 0" not in context.log, "a state that nobody uses was loaded"
    slot = cache.prepare(1, None, [*prompt_of(1), 5], set())
    assert len(slot.parts) == 20, "the moved state is lost"
    assert [each.parked for each in cache.memory()] == [False, False]


def test_a_session_that_is_closed_leaves_its_slot_to_the_next() -> None:
    context = FakeContext()
    cache = cache_over(context, 8)
    for session in range(5):
        answered(cache, context, session, prompt_of(session), set())
        cache.release(session)
    assert context.slots == 1


def test_while_a_turn_runs_another_session_is_parked_instead() -> None:
    context = FakeContext(slots=2)
    cache = cache_over(context, 8)
    answered(cache, context, 1, prompt_of(1), set())
    answered(cache, context, 2, prompt_of(2), {1})
    answered(cache, context, 3, prompt_of(3), {1})
    assert context.slots == 2 and shape(context) == []
    assert {each.session for each in cache.memory() if each.parked} == {2}
    with pytest.raises(LookupError):
        cache.prepare(4, None, prompt_of(4), {1, 3})
    answered(cache, context, 2, prompt_of(2), set())
    assert context.slots == 4


def test_too_little_memory_adds_half_as_many_and_then_parks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = FakeContext(slots=4, limit=6)
    cache = cache_over(context, 9)
    for session in range(9):
        answered(cache, context, session, prompt_of(session), set())
    for session in range(9):
        slot = cache.prepare(session, None, [*prompt_of(session), 5], set())
        assert len(slot.parts) == 20
    assert context.slots == 6
    assert shape(context) == ["refuse 8", "create 6", "close 4", "refuse 9", "refuse 7"]
    assert cache.max_slots == 6, "it is tried again at each turn"
    assert "no memory for 8" in caplog.text


def test_memory_that_is_short_is_seen_before_a_native_call() -> None:
    asked = []

    def check(slots: int) -> None:
        asked.append(slots)
        raise ModelLoadError("short")

    context = FakeContext(slots=2)
    cache = cache_over(context, 4, check_memory=check)
    for session in range(3):
        answered(cache, context, session, prompt_of(session), set())
    assert asked == [4, 3] and shape(context) == []


@pytest.mark.parametrize("function", ["create", "copy_state", "close"])
@pytest.mark.parametrize("error", [RuntimeError, MemoryError, ModelLoadError])
def test_a_failed_growth_keeps_the_contexts_of_the_sessions(
    monkeypatch: pytest.MonkeyPatch, function: str, error: type[Exception]
) -> None:
    from tests.engine.native.context import fake_context

    context = FakeContext()
    cache = cache_over(context, 2)
    answered(cache, context, 1, prompt_of(1), set())
    owner = fake_context.FakeNative if function == "close" else FakeContext
    with monkeypatch.context() as patch:
        raised: list[str] = []

        def broken(*_: object, **__: object) -> Any:
            if not raised:
                raised.append(function)
                raise error("broken")
            return real(*_, **__)

        real = getattr(owner, function)
        patch.setattr(owner, function, broken)
        answered(cache, context, 2, prompt_of(2), set())
        assert raised
    slot = cache.prepare(1, None, [*prompt_of(1), 5], set())
    assert len(slot.parts) == 20


def test_the_context_receives_positions_and_not_token_counts() -> None:
    context = FakeContext()
    cache = cache_over(context, 1)
    image = MediaPart("sha256:cat", 256, 4)
    prompt: list[Part] = [1, image, 2, 3, 4]
    slot = answered(cache, context, 1, prompt, set())
    assert slot.parts.positions == 8
    (used,) = cache.memory()
    assert used.kv_bytes == (256 + 4) * 100
    slot = cache.prepare(1, None, [1, image, 2, 9, 9], set())
    assert (len(slot.parts), context.log[-1]) == (3, "truncate 0 6")
    slot = cache.prepare(1, None, [1, MediaPart("sha256:dog", 256, 4), 2, 9], set())
    assert (len(slot.parts), context.log[-1]) == (1, "truncate 0 1")


SHARED = list(range(100))


def loaded_by_second(context: FakeContext, donor_length: int, max_slots: int = 2) -> int:
    """Return the tokens that a second session reuses from a prompt of `donor_length` tokens."""
    cache = cache_over(context, max_slots)
    answered(cache, context, 1, [*SHARED, *range(1000, 900 + donor_length)], set())
    slot = cache.prepare(2, None, [*SHARED, 5], {1})
    return len(slot.parts)


def test_b28_a_prefix_is_copied_when_the_copy_is_faster_than_its_prefill() -> None:
    fast = FakeContext(slots=2)
    assert loaded_by_second(fast, 120) == 100
    # 100 tokens take 0.1 s. 4,000 tokens of 100 bytes are 0.4 MB, copied out and in again.
    slow = FakeContext(slots=2)
    slow.copy_rate.add(1_000_000, 1.0)
    assert loaded_by_second(slow, 4_000) == 0, "the copy takes longer than the prefill"
    fast_prefill = FakeContext(slots=2)
    fast_prefill.copy_rate.add(1_000_000, 1.0)
    assert loaded_by_second(fast_prefill, 120) == 100
    fast_prefill = FakeContext(slots=2)
    fast_prefill.copy_rate.add(1_000_000, 1.0)
    fast_prefill.prefill_rate.add(100_000, 1.0)
    assert loaded_by_second(fast_prefill, 120) == 0


def test_a_parked_session_gives_its_prefix_too() -> None:
    context = FakeContext()
    cache = cache_over(context, 2)
    answered(cache, context, 1, [*SHARED, *range(1000, 1100)], set())
    slot = cache.prepare(2, None, [*SHARED, 5], set())
    assert context.slots == 2 and len(slot.parts) == 100
    other = cache.prepare(3, Path("other.gguf"), [*SHARED, 5], set())
    assert len(other.parts) == 0, "it was decoded with another adapter"
    assert len(cache.prepare(1, None, [*SHARED, *range(1000, 1100), 5], set()).parts) == 200


def test_a_prefix_that_a_sliding_window_forgets_in_a_copy_is_not_copied() -> None:
    """The own prefix of the session must not be replaced by a copy that is useless."""
    prompt: list[Part] = [*SHARED, 5]
    for window, reused in ((0, 100), (150, 40), (300, 100)):
        context = FakeContext(slots=2, window=window)
        cache = cache_over(context, 2)
        answered(cache, context, 2, [*SHARED[:40]], set())
        answered(cache, context, 1, [*SHARED, *range(1000, 1100)], {2})
        assert len(cache.prepare(2, None, prompt, {1}).parts) == reused, f"window {window}"


def test_an_own_prefix_that_the_sliding_window_has_lost_counts_for_nothing() -> None:
    context = FakeContext(window=150)
    cache = cache_over(context, 2)
    answered(cache, context, 1, [*SHARED, *range(1000, 1100)], set())
    answered(cache, context, 2, [*SHARED, 1], set())
    assert len(cache.prepare(1, None, [*SHARED, *range(1000, 1100), 5], {2}).parts) == 200
    assert len(cache.prepare(1, None, [*SHARED, 6], {2}).parts) == 100, "copied from session 2"


def test_parking_another_session_does_not_drop_the_one_that_is_used_next() -> None:
    """The memory of parked sessions holds one of them, as with a large model."""
    context = FakeContext()
    cache = cache_over(context, 1, parked_limit=25 * BYTES_PER_TOKEN)
    for session in (1, 2):
        answered(cache, context, session, prompt_of(session), set())
    for session in (1, 2, 1, 2):
        assert len(cache.prepare(session, None, [*prompt_of(session), 5], set()).parts) == 20
