"""What a user fills in about a thread, as texts: what is allowed, and what it means. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from koel_tui.chat_templates import BUILT_IN
from koel_tui.protocol.turn_settings import Sampling
from koel_tui.session.settings import SAMPLING, ThreadSettings

if TYPE_CHECKING:
    from koel_tui.protocol import TurnSettings


class FieldError(Exception):
    """A field has something that cannot be; the message says what could."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


@dataclass(frozen=True, slots=True)
class Field:
    """One line of the form; `read` turns its text into a value or raises ValueError."""

    key: str
    label: str
    help: str
    read: Callable[[str], object]


def _number(least: float, most: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise ValueError(f"a number from {least:g} to {most:g}")
        return value

    return read


def _whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(text)

    return read


def _yes_no(text: str) -> bool:
    if text.casefold() not in ("yes", "no"):
        raise ValueError("yes or no")
    return text.casefold() == "yes"


def _built_in(text: str) -> str:
    if text.casefold() not in BUILT_IN:
        raise ValueError(f"one of {', '.join(BUILT_IN)}")
    return text.casefold()


FIELDS: tuple[Field, ...] = (
    Field("title", "Name", "what the tab is called", str),
    Field("temperature", "Temperature", "0 to 5; 0 takes the likeliest word", _number(0, 5)),
    Field("top_p", "Top p", "0 to 1; words up to this share", _number(0, 1)),
    Field("top_k", "Top k", "so many of the likeliest; 0: all", _whole(0, 1_000_000)),
    Field("min_p", "Min p", "0 to 1; words at least this likely", _number(0, 1)),
    Field("repeat_penalty", "Repeat penalty", "1 is none; 1.1 breaks loops", _number(0, 10)),
    Field("seed", "Seed", "same seed, same answer", _whole(0, 2**32 - 1)),
    Field("max_output_tokens", "Longest answer", "in tokens", _whole(1, 1_000_000)),
    Field("thinking", "Think first", "yes or no; for models that can", _yes_no),
    Field("model", "Model", "a GGUF file, or the name of one", str),
    Field("lora", "LoRA adapter", "a GGUF file", str),
    Field("chat_template", "Chat template", " ".join(BUILT_IN), _built_in),
)
"""The lines of the form; one left empty leaves it to the program."""

_OTHERS = ("max_output_tokens", "thinking", "model", "lora", "chat_template")
"""Those that are neither the title nor how words are drawn."""


def check(key: str, text: str) -> None:
    """Raise `FieldError` when the text of a field cannot be."""
    _value(next(field for field in FIELDS if field.key == key), text)


def settings_of(texts: Mapping[str, str], system: str) -> ThreadSettings:
    """Return what the form says. Raises `FieldError` for the first thing that cannot be."""
    values = {field.key: _value(field, texts.get(field.key, "")) for field in FIELDS}
    given = {key: value for key, value in values.items() if value is not None}
    sampling = {key: value for key, value in given.items() if key in SAMPLING}
    others = {key: given.get(key) for key in _OTHERS}
    return ThreadSettings(system.strip() or None, sampling, **others)  # type: ignore[arg-type]  # each read by its field


def texts_of(title: str, settings: ThreadSettings) -> dict[str, str]:
    """Return the texts of the form for what is set."""
    values = {**asdict(settings), **settings.sampling, "title": title}
    return {field.key: _text(values.get(field.key)) for field in FIELDS}


def texts_of_defaults(defaults: "TurnSettings") -> Mapping[str, str]:
    """Return what holds where a thread says nothing, as the form shows it."""
    sampling = defaults.sampling or Sampling()
    values = {
        "title": "its first words",
        "model": "the program's",
        "lora": "none",
        "chat_template": defaults.chat_template or "the model's own",
        "thinking": "yes" if defaults.thinking else "no",
        **asdict(sampling),
        "max_output_tokens": defaults.max_output_tokens or "as long as it fits",
        "seed": "random" if sampling.seed is None else sampling.seed,
        "system": defaults.system or "",
    }
    return {name: str(value) for name, value in values.items()}


def _value(field: Field, text: str) -> object:
    if not text.strip():
        return None
    try:
        return field.read(text.strip())
    except ValueError as error:
        raise FieldError(field.key, f"{field.label}: {error}, or nothing.") from None


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
