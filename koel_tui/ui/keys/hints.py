"""Key hints that show the current bindings, including remapped keys."""

from collections.abc import Mapping, Sequence

from textual.app import App

from koel_tui.ui import internals
from koel_tui.ui.keys.key_table import display_names

Hint = tuple[str, str]
"""A binding id and a description. If that is empty, only the key is shown, in parentheses."""


def key_of(app: App[int], binding_id: str) -> str:
    """Return the name of a binding's key, or 'the palette' if the binding has no key."""
    return _first_key(_active_keys(app), binding_id) or "the palette"


def format_hints(app: App[int], hints: Sequence[Hint]) -> str:
    """Format hints as one text; hints without a key are skipped."""
    active_keys = _active_keys(app)
    named = [(_first_key(active_keys, binding_id), text) for binding_id, text in hints]
    return ", ".join(
        f"{name} {description}" if description else f"({name})"
        for name, description in named
        if name
    )


def _active_keys(app: App[int]) -> Mapping[str, Sequence[str]]:
    main = app.screen_stack[0]
    return internals.active_keys(app, main, *main.query("#pane, #prompt"))


def _first_key(active_keys: Mapping[str, Sequence[str]], binding_id: str) -> str:
    return next(iter(display_names(active_keys.get(binding_id, ()))), "")
