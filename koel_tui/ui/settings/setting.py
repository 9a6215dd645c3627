"""The program settings as a list: value, origin and allowed values of each. Pure."""

import math
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from koel_tui.protocol.turn_settings import Range
from koel_tui.setting_sources import Origin, variable_name
from koel_tui.text import has_words
from koel_tui.typed_values import (
    LINE_LENGTHS,
    TEMPLATE_NAMES,
    format_number,
    parse_line_length,
    parse_number,
    parse_switch,
    parse_template,
)

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from koel_tui.settings import Settings

FLAG = "flag"
"""Origin of a setting given on the command line of this run."""
_UNSET = "not set"


@dataclass(frozen=True, slots=True)
class Kind:
    """Allowed values of a setting; `parse` parses text or raises `ValueError`."""

    range: str
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as a line of the list."""

    name: str
    value: object
    default: object
    origin: str
    description: str
    kind: Kind | None
    enabled: bool = True

    @property
    def title(self) -> str:
        """Its name."""
        return self.name

    @property
    def detail(self) -> str:
        """Its value and origin."""
        return f"{format_value(self.value) or _UNSET} · {self.origin}"

    @property
    def locked(self) -> str:
        """The reason why it cannot be changed here; empty if it can."""
        if self.kind is None:
            return "It is set in the table [keys]. To change it: koel-chat config edit"
        if self.origin == Origin.ENVIRONMENT:
            name = variable_name(self.name)
            return f"The variable {name} sets it. Unset the variable to change it here."
        if not format_value(self.value).isprintable():
            return "It has several lines. To change it: koel-chat config edit"
        return ""

    @property
    def help(self) -> str:
        """Its allowed values and default."""
        if self.kind is None:
            return ""
        return f"{self.kind.range}; empty: {format_value(self.default) or _UNSET}"

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether its name, value, origin or description contains these words."""
        searched = f"{self.name} {self.name.replace('_', ' ')} {self.detail} {self.description}"
        return has_words(searched, words)

    def parse(self, text: str) -> object:
        """Parse a value; blank text means the default, which is None.

        Raises `ValueError` with the allowed values.
        """
        if self.kind is None or not text.strip():
            return None
        try:
            return self.kind.parse(text.strip())
        except ValueError:
            raise ValueError(f"{self.name} must be {self.kind.range}, or empty.") from None


def list_settings(
    settings: "Settings", origins: Mapping[str, Origin], flags: Collection[str]
) -> list[Setting]:
    """Return every setting; `flags` are the names of those given on the command line."""
    return [
        Setting(
            name,
            getattr(settings, name),
            field.get_default(call_default_factory=True),
            FLAG if name in flags else origins[name],
            field.description or "",
            _value_kind(name, field),
        )
        for name, field in type(settings).model_fields.items()
    ]


def format_value(value: object) -> str:
    """Return a value as the user would type it; empty for None."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Mapping():
            return ", ".join(value) or "the default keys"
        case tuple():
            return os.pathsep.join(map(str, value))
        case int() | float():
            return format_number(value)
    return str(value)


def _value_kind(name: str, field: "FieldInfo") -> Kind | None:
    """Return the allowed values of a setting; None for a table, which cannot be typed."""
    from koel_tui.settings import NUMBER_RANGES

    types = {field.annotation, *get_args(field.annotation)} - {None}
    if name == "line_length":
        return Kind(LINE_LENGTHS, parse_line_length)
    if name in NUMBER_RANGES or int in types:
        allowed = NUMBER_RANGES.get(name) or _whole_range(field.metadata)
        return Kind(str(allowed), lambda text: parse_number(text, allowed))
    if name == "theme":
        return Kind("the name of a theme", str)
    if name == "chat_template":
        return Kind(TEMPLATE_NAMES, parse_template)
    if bool in types:
        return Kind("yes or no", parse_switch)
    if get_origin(field.annotation) is tuple:
        return Kind(f"directories, separated by {os.pathsep!r}", _parse_folders)
    if Path in types:
        return Kind("a GGUF file or the name of a model", Path)
    return None if get_origin(field.annotation) is Mapping else Kind("any text", str)


def _whole_range(metadata: Iterable[Any]) -> Range:
    minimum, maximum = -math.inf, math.inf
    for each in metadata:
        minimum = getattr(each, "ge", minimum)
        maximum = getattr(each, "le", maximum)
    return Range(minimum, maximum, whole=True)


def _parse_folders(text: str) -> tuple[Path, ...]:
    return tuple(Path(each) for each in text.split(os.pathsep) if each)
