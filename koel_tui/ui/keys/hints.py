"""Key hints that show the current bindings, including remapped keys."""

from collections.abc import Mapping, Sequence

from textual.app import App

from koel_tui.ui import internals
from koel_tui.ui.keys.key_table import spoken

Hint = tuple[str, str]
"""The id of a key and its description; the description is empty if the text before states it."""


def key_of(app: App[int], key: str) -> str:
    """Return the display name of the key with this id."""
    return _name(_in_force(app), key) or "the palette"


def told(app: App[int], hints: Sequence[Hint]) -> str:
    """Format hints as one text; hints without a key are skipped."""
    in_force = _in_force(app)
    named = [(_name(in_force, key), does) for key, does in hints]
    return ", ".join(f"{name} {does}" if does else f"({name})" for name, does in named if name)


def _in_force(app: App[int]) -> Mapping[str, Sequence[str]]:
    return internals.keys_by_id(app, *app.screen_stack[0].query("#prompt"))


def _name(in_force: Mapping[str, Sequence[str]], key: str) -> str:
    return next(iter(spoken(in_force.get(key, ()))), "")
