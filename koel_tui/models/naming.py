"""Lookup of a model by name."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.models.discovery import FoundModel

_MOST_SHOWN = 5
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
_LIST = "`koel-chat models list` shows all."


class NoModelError(Exception):
    """No model has the name, or none is named or bundled; the message has the next step."""


def is_name(named: Path) -> bool:
    """Return whether this may be a model name; false if it can only be a path."""
    text = str(named)
    return not (named.is_absolute() or text.startswith(("~", ".")))


def named_model(models: "Sequence[FoundModel]", wanted: str) -> "FoundModel":
    """Return the model named `wanted`, or the only one whose name starts with `wanted`.

    Ignores case and the suffix `.gguf`. Raises `NoModelError` with similar names.
    """
    if _ADDRESS.match(wanted):  # not echoed, because it may contain a password
        raise NoModelError(
            "A model is a file or a name, and not an address. To download one: "
            f"koel-chat models pull OWNER/NAME. {_LIST}"
        )
    for fitting in (
        [model for model in models if model.name == wanted],
        [model for model in models if _plain(model.name) == _plain(wanted)],
        [model for model in models if _plain(model.name).startswith(_plain(wanted))],
    ):
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise NoModelError(
                f"{len(fitting)} models fit {safe_line(wanted)!r}: "
                f"{_shown([_place(model, fitting) for model in fitting])}. Name one of them."
            )
    near = _near(models, wanted)
    hint = f"Near it: {_shown(near)}. " if near else ""
    raise NoModelError(
        f"There is no such file and no model called {safe_line(wanted)!r}. {hint}{_LIST}"
    )


def _plain(name: str) -> str:
    return name.casefold().removesuffix(".gguf")


def _place(model: "FoundModel", others: "Sequence[FoundModel]") -> str:
    """Return a unique label of a model: its name, else its path."""
    alike = sum(_plain(other.name) == _plain(model.name) for other in others)
    return model.name if alike == 1 else str(model.path)


def _near(models: "Sequence[FoundModel]", wanted: str) -> list[str]:
    names = {_plain(model.name): model.name for model in models}
    plain = _plain(wanted)
    within = [name for key, name in names.items() if plain in key]
    close = difflib.get_close_matches(plain, names, n=_MOST_SHOWN, cutoff=0.5)
    return list(dict.fromkeys([*within, *(names[key] for key in close)]))


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _MOST_SHOWN
    tail = [f"{more} more"] if more > 0 else []
    return ", ".join([*(safe_line(name, 300) for name in names[:_MOST_SHOWN]), *tail])
