"""The commands of the palette: everything with a key, and the theme chooser."""

from collections.abc import Iterable, Mapping
from functools import partial

from textual.app import App, SystemCommand
from textual.dom import DOMNode

from koel_tui.ui import internals
from koel_tui.ui.keys.key_table import ALL_KEYS, Owner, display_names


def commands(app: App[int], nodes: Mapping[Owner, DOMNode]) -> Iterable[SystemCommand]:
    """Return the commands of the palette, each with its key, for the nodes with their actions."""
    active_keys = internals.active_keys(*nodes.values())
    for key in ALL_KEYS:
        if key.command:
            names = " ".join(display_names(active_keys.get(key.id, ())))
            run = partial(app.run_action, key.action, nodes[key.owner])
            yield SystemCommand(key.command, names, run)
    yield SystemCommand("Theme", "choose other colours", app.action_change_theme)
