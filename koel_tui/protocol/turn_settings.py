"""The settings of one turn, apart from the conversation."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any, Self

from koel_tui.chat_templates import CHAT_TEMPLATES

TOOL_CHOICES = ("auto", "required", "none")
"""The values of `tool_choice` that are not the name of a tool."""

_MAX_INT = 2**31 - 1
_MAX_NUMBER = 1e6
"""Maximum if no lower limit is known; llama.cpp stores numbers as 32-bit floats."""


@dataclass(frozen=True, slots=True)
class Range:
    """The allowed values of a number, both ends included unless `open_start` is set.

    An infinite end sets no limit.
    """

    start: float
    end: float
    whole: bool = False
    open_start: bool = False

    def __contains__(self, value: object) -> bool:
        """Return whether a value is allowed; True and False are not numbers."""
        if type(value) is not int and (self.whole or type(value) is not float):
            return False
        return (self.start < value if self.open_start else self.start <= value) and (
            value <= self.end
        )

    def check(self, name: str, value: object) -> None:
        """Raise ValueError with the allowed range unless `value` is in it."""
        if value in self:
            return
        raise ValueError(f"{name} must be {self}, not {value!r}")

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if math.isinf(self.end):
            return f"{kind} from {_format_number(self.start)} up"
        start = (
            f"greater than {self.start:g}"
            if self.open_start
            else f"from {_format_number(self.start)}"
        )
        join = "and at most" if self.open_start else "to"
        return f"{kind} {start} {join} {_format_number(self.end)}"


def _format_number(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


_PROBABILITY = Range(0, 1)
_LAST_N = Range(-1, _MAX_INT, whole=True)

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        "temperature": Range(0, _MAX_NUMBER),
        "top_k": Range(0, _MAX_INT, whole=True),
        "top_p": _PROBABILITY,
        "min_p": _PROBABILITY,
        "seed": Range(0, 2**32 - 1, whole=True),
        "repeat_penalty": Range(0, 10, open_start=True),
        "repeat_last_n": _LAST_N,
        "frequency_penalty": Range(-10, 10),
        "presence_penalty": Range(-10, 10),
        "typical_p": _PROBABILITY,
        "top_n_sigma": Range(-1, _MAX_NUMBER),
        "xtc_probability": _PROBABILITY,
        "xtc_threshold": _PROBABILITY,
        "dry_multiplier": Range(0, _MAX_NUMBER),
        "dry_base": Range(1, _MAX_NUMBER),
        "dry_allowed_length": Range(0, _MAX_INT, whole=True),
        "dry_penalty_last_n": _LAST_N,
        "dynatemp_range": Range(0, _MAX_NUMBER),
        "dynatemp_exponent": Range(0, _MAX_NUMBER),
        "mirostat": Range(0, 2, whole=True),
        "mirostat_tau": Range(0, _MAX_NUMBER),
        "mirostat_eta": Range(0, _MAX_NUMBER),
    }
)
"""The allowed range of each number in `Sampling`, by field name."""
OUTPUT_TOKENS = Range(1, _MAX_INT, whole=True)
"""The allowed range of `max_output_tokens`."""
THINKING_TOKENS = Range(0, _MAX_INT, whole=True)
"""The allowed range of `thinking` as a number of tokens."""
TOKEN_IDS = Range(0, _MAX_INT, whole=True)
"""The allowed token ids of `logit_bias`."""
BIASES = Range(-100, 100)
"""The allowed biases of `logit_bias`."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The sampling options of a turn, under llama.cpp's names.

    `temperature` 0 is greedy: always the most probable token. `dynatemp_range` is how far the
    temperature varies around its value with the entropy, shaped by `dynatemp_exponent`; 0 is off.
    `top_k` keeps the k most probable tokens (0: all), `top_p` the most probable ones up to this
    total probability (1: all), `min_p` those with at least this probability relative to the first
    (0: all), `typical_p` the locally typical ones (1: all), `top_n_sigma` those within n standard
    deviations of the best logit (0 or less: all). With `xtc_probability` tokens above
    `xtc_threshold` are removed except the last one. `mirostat` 1 or 2 replaces top_k, top_p, min_p
    and typical_p: it targets the entropy `mirostat_tau` with the learning rate `mirostat_eta`.

    `repeat_penalty`, `frequency_penalty` and `presence_penalty` lower the logits of tokens among
    the last `repeat_last_n` (-1: the whole context, 0: off), including the prompt; 1, 0 and 0 are
    off. `dry_multiplier` penalizes repeated sequences longer than `dry_allowed_length` by
    `dry_base` for each further token, over the last `dry_penalty_last_n` tokens; 0 is off.
    `logit_bias` adds -100 to 100 to the logits of single tokens, by token id.

    `seed` None draws a random seed; the seed used is in `SessionMetrics.seed`. Raises ValueError
    with the allowed range for an invalid value.
    """

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    seed: int | None = None
    repeat_penalty: float = 1.0
    repeat_last_n: int = 64
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    typical_p: float = 1.0
    top_n_sigma: float = -1.0
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    dynatemp_range: float = 0.0
    dynatemp_exponent: float = 1.0
    mirostat: int = 0
    mirostat_tau: float = 5.0
    mirostat_eta: float = 0.1
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, allowed in RANGES.items():
            value = getattr(self, name)
            if name != "seed" or value is not None:
                allowed.check(name, value)
        object.__setattr__(self, "logit_bias", _check_bias(self.logit_bias))

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return a copy with some fields changed.

        Raises ValueError for an unknown name or an invalid value.
        """
        known = {each.name for each in fields(self)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)}: no such sampling option. "
                f"There are: {', '.join(sorted(known))}"
            )
        return replace(self, **values)


def _check_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise ValueError(f"logit_bias must map token ids to numbers, not {bias!r}")
    for token, value in bias.items():
        TOKEN_IDS.check("a token id of logit_bias", token)
        BIASES.check(f"logit_bias of token {token}", value)
    # Not a MappingProxyType: the codec of the runner, `pickle`, `deepcopy` and `asdict` refuse it.
    return dict(bias)


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """The settings of one turn; a field that is None uses the value of the session.

    `system` is the system prompt of a conversation without one, `sampling` the sampling options,
    `max_output_tokens` the maximum length of one answer. `thinking` is whether the model thinks
    first; a number is the maximum of thinking tokens. `tools` are function tools in the format of
    chat templates; `tool_choice` is auto, required, none or the name of one tool. `schema` is a
    JSON schema that the answer must match. `stop` are strings that end the answer. `chat_template`
    is the name of a built-in template, own for that of the model, or none for raw completion.
    `prefill` is the given beginning of the answer, which the model continues.

    An empty value (`system=""`, `tools=()`, `stop=()`, `prefill=""`) removes that of the session.
    Raises ValueError with the allowed values for an invalid value.
    """

    system: str | None = None
    sampling: Sampling | None = None
    max_output_tokens: int | None = None
    thinking: bool | int | None = None
    tools: tuple[Mapping[str, Any], ...] | None = None
    tool_choice: str | None = None
    schema: Mapping[str, Any] | None = None
    stop: tuple[str, ...] | None = None
    chat_template: str | None = None
    prefill: str | None = None

    def __post_init__(self) -> None:
        for name in ("system", "tool_choice", "chat_template", "prefill"):
            _check_type(name, getattr(self, name), str, "a string")
        _check_type("sampling", self.sampling, Sampling, "a Sampling")
        _check_type("schema", self.schema, Mapping, "a JSON schema, an object")
        if self.max_output_tokens is not None:
            OUTPUT_TOKENS.check("max_output_tokens", self.max_output_tokens)
        if self.thinking is not None and not isinstance(self.thinking, bool):
            THINKING_TOKENS.check("thinking", self.thinking)
        for name, kind, what in (
            ("tools", Mapping, "function tools, each an object"),
            ("stop", str, "strings"),
        ):
            object.__setattr__(self, name, _check_items(name, getattr(self, name), kind, what))
        if self.stop is not None and "" in self.stop:
            raise ValueError("stop must not contain an empty string: it would end every answer")
        if self.chat_template is not None and self.chat_template not in CHAT_TEMPLATES:
            raise ValueError(
                f"chat_template must be one of {', '.join(CHAT_TEMPLATES)}, "
                f"not {self.chat_template!r}"
            )
        if self.tool_choice == "":
            raise ValueError(
                f"tool_choice must be {', '.join(TOOL_CHOICES)} or the name of a tool, not ''"
            )

    def over(self, session: "TurnSettings") -> "TurnSettings":
        """Return these settings, with each None field taken from `session`."""
        return TurnSettings(
            **{
                each.name: getattr(session if getattr(self, each.name) is None else self, each.name)
                for each in fields(self)
            }
        )


def _check_type(name: str, value: object, kind: type, what: str) -> None:
    if value is not None and not isinstance(value, kind):
        raise ValueError(f"{name} must be {what}, not {value!r}")


def _check_items(name: str, value: Any, kind: type, what: str) -> tuple[Any, ...] | None:
    if value is None:
        return None
    if isinstance(value, str | Mapping) or not hasattr(value, "__iter__"):
        raise ValueError(f"{name} must be a sequence of {what}, not {value!r}")
    items = tuple(value)
    for item in items:
        _check_type(f"an item of {name}", item, kind, f"one of {what}")
        if item is None:
            raise ValueError(f"{name} must not contain None")
    return items
