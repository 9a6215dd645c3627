"""Lookup of a model by name."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.text import match_key, safe_line

if TYPE_CHECKING:
    from koel_tui.models.discovery import FoundModel

_MAX_SHOWN = 5
_URL = re.compile(r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE)
_LIST_HINT = "`koel-chat models list` shows all models."


class NoModelError(Exception):
    """No model has the name, or none is named or bundled; the message has the next step."""


def is_name(named: Path) -> bool:
    """Return whether this may be a model name; false if it can only be a path."""
    text = str(named)
    return not (named.is_absolute() or text.startswith(("~", ".")))


def named_model(models: "Sequence[FoundModel]", wanted: str) -> "FoundModel":
    """Return the model named `wanted`, or the only one whose name starts with `wanted`.

    Ignores case, Unicode form and the suffix `.gguf`. Raises `NoModelError` with similar names.
    """
    if _URL.match(wanted):  # not echoed, because it may contain a password
        raise NoModelError(
            "A model is a file or a name, not a URL. "
            "To download one: koel-chat models pull OWNER/NAME."
        )
    for matching in (
        [model for model in models if wanted in model.names],
        [model for model in models if _normalize(wanted) in map(_normalize, model.names)],
        [
            model
            for model in models
            if any(_normalize(name).startswith(_normalize(wanted)) for name in model.names)
        ],
    ):
        if len(matching) == 1:
            return matching[0]
        if matching:
            raise NoModelError(
                f"{len(matching)} models match {safe_line(wanted)!r}: "
                f"{_format_names([_label(model, matching) for model in matching])}. "
                "Name one of them."
            )
    similar = _similar_names(models, wanted)
    hint = f"Similar: {_format_names(similar)}. " if similar else ""
    raise NoModelError(f"No file or model is called {safe_line(wanted)!r}. {hint}{_LIST_HINT}")


def _normalize(name: str) -> str:
    return match_key(name).removesuffix(".gguf")


def _label(model: "FoundModel", others: "Sequence[FoundModel]") -> str:
    """Return a unique label of a model: its name, else its path."""
    same_name = sum(_normalize(other.name) == _normalize(model.name) for other in others)
    return model.name if same_name == 1 else str(model.path)


def _similar_names(models: "Sequence[FoundModel]", wanted: str) -> list[str]:
    names = {_normalize(name): name for model in models for name in model.names}
    normalized = _normalize(wanted)
    containing = [name for key, name in names.items() if normalized in key]
    close = difflib.get_close_matches(normalized, names, n=_MAX_SHOWN, cutoff=0.5)
    return list(dict.fromkeys([*containing, *(names[key] for key in close)]))


def _format_names(names: Sequence[str]) -> str:
    more = len(names) - _MAX_SHOWN
    tail = [f"{more} more"] if more > 0 else []
    return ", ".join([*(safe_line(name, 300) for name in names[:_MAX_SHOWN]), *tail])
