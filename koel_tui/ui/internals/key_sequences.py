"""Keys: what terminals send for them, and what is bound to them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.binding import Binding, BindingsMap, BindingType
from textual.dom import DOMNode
from textual.keys import REPLACED_KEYS, _character_to_key, key_to_character

_NAMED = {"enter": ("\r", "\n")}
_OPENERS = tuple(f"\x1b{opener}..." for opener in "[]NOPX^_\\")
"""What control sequences and strings of terminals begin with."""


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
    character = character_of(name) or ""  # alt+up has none, and is known as it is
    characters = _NAMED.get(name, (character,) if character.isprintable() else ())
    if modifiers == ["alt"]:
        return [f"\x1b{character}" for character in characters if character]
    if modifiers == ["alt", "shift"]:
        return [f"\x1b{character.upper()}" for character in characters if character.islower()]
    return []


def name_of_character(character: str) -> str:
    """Return what Textual calls the key of a character."""
    return _character_to_key(character)


def character_of(name: str) -> str | None:
    """Return the character whose key has this name, None where the key is none of a character."""
    return key_to_character(REPLACED_KEYS.get(name, name))


def begins_others(key: str) -> bool:
    """Say whether a terminal sends for this key what it begins the sequences of others with."""
    return any(
        known.startswith(sequence) and known != sequence
        for sequence in _sequences(key)
        for known in (*ANSI_SEQUENCES_KEYS, *_OPENERS)
    )


def rebind(
    node: DOMNode,
    bindings: Iterable[BindingType],
    inherited: type[DOMNode] | None = None,
    freed: Iterable[str] = (),
) -> None:
    """Give a widget or app these bindings in place of its own, before it is mounted.

    It keeps those of the class `inherited`, without the keys `freed`.
    """
    kept = inherited._merged_bindings if inherited else None
    keys = dict(kept.key_to_bindings) if kept else {}
    for key in freed:
        keys.pop(key, None)
    node._bindings = BindingsMap.from_keys({**keys, **BindingsMap(bindings).key_to_bindings})


def bindings_of(node: DOMNode, key: str) -> list[Binding]:
    """Return what a key is bound to in this widget or app, after any remapping."""
    return _in_force(node).key_to_bindings.get(key, [])


def keys_by_id(*nodes: DOMNode) -> dict[str, list[str]]:
    """Return the keys of every binding of these nodes that has an id, after any remapping."""
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for key, binding in _in_force(node):
            if binding.id is not None:
                keys[binding.id].append(key)
    return keys


def _in_force(node: DOMNode) -> BindingsMap:
    bindings = node._bindings.copy()
    if node.app._keymap:
        bindings.apply_keymap(node.app._keymap)
    return bindings
