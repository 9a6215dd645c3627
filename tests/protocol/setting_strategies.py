"""Hypothesis strategies for every allowed sampling and every allowed settings of a turn."""

from typing import Any

from hypothesis import strategies as st

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.protocol import RAW_COMPLETION, Sampling, TurnSettings
from koel_tui.protocol.turn_settings import OUTPUT_TOKENS, RANGES, THINKING_TOKENS, Range

_TEXTS = st.text(st.characters(), max_size=8)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_OBJECTS = st.dictionaries(_TEXTS, _JSON, max_size=3)


def numbers(allowed: Range) -> st.SearchStrategy[Any]:
    """Return the numbers of a range, including its ends and whole numbers."""
    whole = st.integers(int(allowed.start) + allowed.open_start, int(allowed.end))
    if allowed.whole:
        return whole
    return whole | st.floats(allowed.start, allowed.end, exclude_min=allowed.open_start)


def samplings() -> st.SearchStrategy[Sampling]:
    """Return any allowed sampling, with any subset of its options changed."""
    options: dict[str, st.SearchStrategy[Any]] = {
        name: numbers(allowed) for name, allowed in RANGES.items()
    }
    options["logit_bias"] = st.dictionaries(
        st.integers(0, 2**31 - 1), numbers(Range(-100, 100)), max_size=3
    )
    return st.fixed_dictionaries({}, optional=options).map(lambda values: Sampling(**values))


def turn_settings() -> st.SearchStrategy[TurnSettings]:
    """Return any allowed settings, each field set or None."""
    fields: dict[str, st.SearchStrategy[Any]] = {
        "system": _TEXTS,
        "sampling": samplings(),
        "max_output_tokens": numbers(OUTPUT_TOKENS),
        "thinking": st.booleans() | numbers(THINKING_TOKENS),
        "tools": st.lists(_OBJECTS, max_size=2),
        "tool_choice": st.sampled_from(("auto", "none", "required", "tool")),
        "schema": _OBJECTS,
        "stop": st.lists(st.text(min_size=1, max_size=8), max_size=3),
        "chat_template": st.sampled_from((*BUILT_IN_TEMPLATES, RAW_COMPLETION)),
        "prefill": _TEXTS,
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: TurnSettings(**values))
