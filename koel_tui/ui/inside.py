"""The only place that reaches inside Textual, whose version is pinned; tests watch each use."""

from collections.abc import Iterable
from dataclasses import dataclass

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.binding import Binding
from textual.widget import Widget

_NAMED = {"enter": ("\r", "\n")}


@dataclass(frozen=True, slots=True)
class _Key:
    value: str


def teach_alt_keys(keys: Iterable[str]) -> None:
    """Make these keys with alt arrive as what they are where they come as escape and a character.

    So they do without a keyboard protocol, in tmux for instance. There Textual takes alt+enter
    for enter, which would send the prompt instead of starting a new line, alt+1 for the ¡ of
    some keyboards, and waits a tenth of a second for what may follow every other.
    """
    if isinstance(ANSI_SEQUENCES_KEYS, dict):
        for key in keys:
            for sequence in _sequences(key):
                # Textual asks the members of the tuple for nothing but their value.
                ANSI_SEQUENCES_KEYS[sequence] = (_Key(key),)


def _sequences(key: str) -> list[str]:
    *modifiers, name = key.split("+")
    if modifiers == ["alt"]:
        return [f"\x1b{character}" for character in _NAMED.get(name, (name,))]
    return [f"\x1b{name.upper()}"] if modifiers == ["alt", "shift"] else []


def bindings_of(widget: Widget, key: str) -> list[Binding]:
    """Return what a key is bound to in this widget, after any remapping."""
    return widget._bindings.key_to_bindings.get(key, [])


def lay_out(widget: Widget) -> None:
    """Give every widget of the screen its place now, within a batch: nothing is painted yet.

    For what has to be known before the next frame: by how much something new moves the rest.
    """
    widget.screen._refresh_layout()
