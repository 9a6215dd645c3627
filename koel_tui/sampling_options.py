"""Labels, help texts, groups and text format of the sampling options.

Ranges and names come from `RANGES` and `Sampling`. No I/O.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from koel_tui.protocol.turn_settings import BIASES, RANGES, TOKEN_IDS, Range, Sampling
from koel_tui.typed_values import format_number, parse_number

LOGIT_BIAS = "logit_bias"
"""The only option that is not a single number."""
LOGIT_BIAS_FORMAT = "pairs id:bias with each bias from -100 to 100, as in 198:-100, 29:2.5"
"""Description of the text format of `logit_bias`."""


@dataclass(frozen=True, slots=True)
class SamplingOption:
    """A number in `Sampling`: its field name, its label and a short description of its effect."""

    name: str
    label: str
    help: str

    @property
    def range(self) -> Range:
        """The allowed values."""
        return RANGES[self.name]

    @property
    def default(self) -> float | None:
        """The value if it is not set; None means a random seed."""
        value: float | None = getattr(Sampling(), self.name)
        return value

    def parse(self, text: str) -> float:
        """Parse a value. Raises ValueError with the allowed range."""
        return parse_number(text, self.range)


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """A group of related options with a heading."""

    heading: str
    options: tuple[SamplingOption, ...]


COMMON_OPTIONS = (
    SamplingOption("temperature", "Temperature", "randomness; 0 = most likely token only"),
    SamplingOption("top_k", "Top-k", "keep the k most likely tokens; 0 = off"),
    SamplingOption("top_p", "Top-p", "total probability to keep; 1 = off"),
    SamplingOption("min_p", "Min-p", "minimum, relative to the best; 0 = off"),
    SamplingOption("repeat_penalty", "Repeat penalty", "1.1 reduces repetition; 1 = off"),
    SamplingOption("seed", "Seed", "the same seed gives the same answer"),
)
"""The most commonly set options."""

OPTION_GROUPS = (
    OptionGroup(
        "Truncation samplers",
        (
            SamplingOption("typical_p", "Typical-p", "keep locally typical tokens; 1 = off"),
            SamplingOption("top_n_sigma", "Top-n-sigma", "std. deviations kept; 0 or less = off"),
            SamplingOption(
                "xtc_probability", "XTC probability", "chance to drop top tokens; 0 = off"
            ),
            SamplingOption(
                "xtc_threshold", "XTC threshold", "drop only tokens above this probability"
            ),
        ),
    ),
    OptionGroup(
        "Repetition",
        (
            SamplingOption(
                "repeat_last_n", "Repeat last n", "last tokens checked; -1 = all, 0 = off"
            ),
            SamplingOption(
                "frequency_penalty", "Frequency penalty", "per occurrence of a token; 0 = off"
            ),
            SamplingOption(
                "presence_penalty", "Presence penalty", "once per token that occurred; 0 = off"
            ),
            SamplingOption(
                "dry_multiplier", "DRY multiplier", "penalty on repeated phrases; 0 = off"
            ),
            SamplingOption("dry_base", "DRY base", "growth of the penalty per token"),
            SamplingOption(
                "dry_allowed_length", "DRY allowed length", "no penalty up to this length"
            ),
            SamplingOption(
                "dry_penalty_last_n", "DRY last n", "last tokens checked; -1 = all, 0 = off"
            ),
        ),
    ),
    OptionGroup(
        "Temperature",
        (
            SamplingOption(
                "dynatemp_range", "Dynatemp range", "temperature varies by this; 0 = off"
            ),
            SamplingOption(
                "dynatemp_exponent", "Dynatemp exponent", "shape of the dynamic temperature"
            ),
        ),
    ),
    OptionGroup(
        "Mirostat",
        (
            SamplingOption("mirostat", "Mirostat", "version 1 or 2; 0 = off"),
            SamplingOption("mirostat_tau", "Mirostat tau", "target entropy"),
            SamplingOption("mirostat_eta", "Mirostat eta", "learning rate"),
        ),
    ),
)
"""The less common options."""

OPTIONS: Mapping[str, SamplingOption] = MappingProxyType(
    {
        option.name: option
        for options in (COMMON_OPTIONS, *(group.options for group in OPTION_GROUPS))
        for option in options
    }
)
"""Every numeric option, keyed by its name."""


def parse_logit_bias(text: str) -> dict[int, float]:
    """Parse biases, for instance `198:-100, 29:2.5`.

    Raises ValueError with the expected format.
    """
    biases: dict[int, float] = {}
    for pair in text.split(","):
        token_text, _, bias_text = pair.partition(":")
        try:
            token = int(parse_number(token_text, TOKEN_IDS))
            bias = parse_number(bias_text, BIASES)
        except ValueError:
            raise ValueError(LOGIT_BIAS_FORMAT) from None
        if token in biases:
            raise ValueError(f"{LOGIT_BIAS_FORMAT} (token {token} is given twice)")
        biases[token] = bias
    return biases


def format_logit_bias(biases: Mapping[int, float]) -> str:
    """Serialize biases in the format that `parse_logit_bias` parses."""
    return ", ".join(f"{token}:{format_number(bias)}" for token, bias in biases.items())
