"""The commands of the palette: everything with a key, and the theme chooser."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from textual.app import App, SystemCommand

from koel_tui.ui.keys.key_table import KEYS, display_names


def commands(app: App[int], active_keys: Mapping[str, Sequence[str]]) -> Iterable[SystemCommand]:
    """Return the commands of the palette, each with its key.

    `active_keys` maps binding ids to keys.
    """
    for key in KEYS:
        if key.command:
            names = " ".join(display_names(active_keys.get(key.id, ())))
            yield SystemCommand(key.command, names, _runner(app, key.action))
    yield SystemCommand("Theme", "choose other colours", app.action_change_theme)


def _runner(app: App[int], action: str) -> Callable[[], Awaitable[bool]]:
    return lambda: app.run_action(action)
