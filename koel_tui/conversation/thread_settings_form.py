"""The form of thread settings as text: its fields, validation and conversion. Pure."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from koel_tui.chat_templates import CHAT_TEMPLATES, OWN_TEMPLATE
from koel_tui.conversation import stop_strings
from koel_tui.protocol.turn_settings import (
    OUTPUT_TOKENS,
    THINKING_TOKENS,
    Range,
    Sampling,
)
from koel_tui.sampling_options import (
    COMMON_OPTIONS,
    LOGIT_BIAS,
    LOGIT_BIAS_FORMAT,
    OPTION_GROUPS,
    OPTIONS,
    SamplingOption,
    format_logit_bias,
    parse_logit_bias,
)
from koel_tui.session.settings import ThreadSettings
from koel_tui.typed_values import format_number, parse_number, parse_switch, parse_template

if TYPE_CHECKING:
    from koel_tui.protocol import TurnSettings

_THINKING = f"off, on, or {THINKING_TOKENS}, the limit of thinking tokens"


class FieldError(Exception):
    """A field has an invalid value; the message states the valid ones."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form.

    `help` is a short description. `allowed` describes the valid input; empty allows any text.
    `parse` converts a text, or raises `ValueError` with the valid input. A `wide` field has room
    for a long text.
    """

    key: str
    label: str
    help: str
    parse: Callable[[str], object] = str
    allowed: str = ""
    wide: bool = False

    def hint(self, default: str) -> str:
        """Return the help sentences of this field; `default` applies if it is empty."""
        allowed = f"{self.allowed[0].upper()}{self.allowed[1:]}. " if self.allowed else ""
        return f"{self.label}: {self.help}. {allowed}Empty: {default or 'none'}."


@dataclass(frozen=True, slots=True)
class FieldGroup:
    """A group of fields below one heading."""

    heading: str
    fields: tuple[Field, ...]


def _option_field(option: SamplingOption) -> Field:
    return Field(option.name, option.label, option.help, option.parse, str(option.range))


def _token_parser(allowed: Range) -> Callable[[str], float]:
    return lambda text: parse_number(text, allowed)


def _parse_thinking(text: str) -> bool | float:
    with suppress(ValueError):
        return parse_switch(text)
    try:
        return parse_number(text, THINKING_TOKENS)
    except ValueError:
        raise ValueError(_THINKING) from None


TITLE = Field("title", "Title", "shown in the tab and in lists", wide=True)
COMMON_FIELDS = tuple(map(_option_field, COMMON_OPTIONS))
"""The sampler fields that are always shown."""
FOLDED_GROUPS = (
    *(
        FieldGroup(group.heading, tuple(map(_option_field, group.options)))
        for group in OPTION_GROUPS
    ),
    FieldGroup(
        "Single tokens",
        (
            Field(
                LOGIT_BIAS,
                "Logit bias",
                "makes tokens more or less likely, by token id",
                parse_logit_bias,
                LOGIT_BIAS_FORMAT,
                wide=True,
            ),
        ),
    ),
)
"""The other sampler fields, folded until requested."""
OTHER_FIELDS = (
    Field(
        "stop",
        "Stop strings",
        "each of them ends the answer",
        stop_strings.parse_stop_strings,
        stop_strings.SYNTAX,
        wide=True,
    ),
    Field("thinking", "Thinking", "off, on, or a limit in tokens", _parse_thinking),
    Field(
        "max_output_tokens",
        "Max output tokens",
        "limit of the answer with its thinking",
        _token_parser(OUTPUT_TOKENS),
        str(OUTPUT_TOKENS),
    ),
    Field(
        "chat_template",
        "Chat template",
        " ".join(CHAT_TEMPLATES),
        parse_template,
        '"own" is the template of the model, "none" sends the text without a template',
    ),
    Field("model", "Model", "a GGUF file or the name of a model", wide=True),
    Field("lora", "LoRA adapter", "a GGUF file with an adapter", wide=True),
)
"""The fields that are neither the title nor a sampler."""

FIELDS: tuple[Field, ...] = (
    TITLE,
    *COMMON_FIELDS,
    *(field for group in FOLDED_GROUPS for field in group.fields),
    *OTHER_FIELDS,
)
"""Every field of the form, from top to bottom; an empty field uses the program's default."""


def find_field(key: str) -> Field:
    """Return the field with this key."""
    return next(field for field in FIELDS if field.key == key)


def validate(key: str, text: str) -> None:
    """Validate the text of a field. Raises `FieldError`."""
    _parse_value(find_field(key), text)


def parse_settings(texts: Mapping[str, str], system: str) -> ThreadSettings:
    """Parse the form into settings. Raises `FieldError` for the first invalid field."""
    values: dict[str, Any] = {
        field.key: _parse_value(field, texts.get(field.key, "")) for field in FIELDS
    }
    names = (*OPTIONS, LOGIT_BIAS)
    sampling = {name: values[name] for name in names if values.get(name) is not None}
    others = {field.key: values[field.key] for field in OTHER_FIELDS}
    return ThreadSettings(system.strip() or None, sampling, **others)


def format_settings(title: str, settings: ThreadSettings) -> dict[str, str]:
    """Return the form's texts for a title and settings."""
    values: dict[str, Any] = {**settings.sampling, "title": title}
    values |= {field.key: getattr(settings, field.key) for field in OTHER_FIELDS}
    return {field.key: format_value(values.get(field.key)) for field in FIELDS}


def format_defaults(defaults: "TurnSettings") -> Mapping[str, str]:
    """Return the defaults that apply to empty fields, as the form shows them."""
    sampling = asdict(defaults.sampling or Sampling())
    return {
        **{name: format_value(value) or "none" for name, value in sampling.items()},
        "seed": format_value(sampling["seed"]) or "random",
        "stop": format_value(defaults.stop) or "none",
        "thinking": format_value(defaults.thinking or False),
        "max_output_tokens": format_value(defaults.max_output_tokens) or "no limit",
        "chat_template": defaults.chat_template or OWN_TEMPLATE,
        "system": defaults.system or "",
        "title": "the first words of the thread",
        "model": "the model of the program",
        "lora": "none",
    }


def format_value(value: object) -> str:
    """Format a value as the text of its field."""
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case int() | float():
            return format_number(value)
        case Mapping():
            return format_logit_bias(value)
        case tuple() | list():
            return stop_strings.format_stop_strings(value)
    return str(value)


def _parse_value(field: Field, text: str) -> object:
    if not text.strip():
        return None
    try:
        return field.parse(text.strip())
    except ValueError as error:
        raise FieldError(field.key, f"{field.label} must be {error}, or empty.") from None
