"""The escape sequences of keys, and the bindings of keys."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual.binding import Binding, BindingsMap, BindingType
from textual.dom import DOMNode
from textual.keys import REPLACED_KEYS, _character_to_key, key_to_character

_NAMED = {"enter": ("\r", "\n")}
_OPENERS = tuple(f"\x1b{opener}..." for opener in "[]NOPX^_\\")
"""The beginnings of terminal control sequences and control strings."""


@dataclass(frozen=True, slots=True)
class _Key:
    value: str


def register_alt_sequences(keys: Iterable[str]) -> None:
    """Register the sequences of these alt keys: escape followed by a character.

    Terminals without a keyboard protocol, for instance tmux, send them in this form. Textual
    alone would parse alt+enter as enter, which would send the prompt instead of starting a new
    line, and alt+1 as ¡; after any other alt key it would wait 0.1 s for more input.
    """
    if isinstance(ANSI_SEQUENCES_KEYS, dict):
        for key in keys:
            for sequence in _sequences(key):
                # Textual uses only the value of the tuple's members.
                ANSI_SEQUENCES_KEYS[sequence] = (_Key(key),)


def registered_alt_key(character: str) -> str:
    """Return the registered alt key with this character; empty if there is none."""
    keys = ANSI_SEQUENCES_KEYS.get(f"\x1b{character}") if character else None
    return keys[0].value if isinstance(keys, tuple) else ""


def is_registered(key: str) -> bool:
    """Return whether the sequences of this alt key are registered."""
    return any(
        registered_alt_key(sequence.removeprefix("\x1b")) == key for sequence in _sequences(key)
    )


def _sequences(key: str) -> list[str]:
    *modifiers, name = key.split("+")
    character = character_of(name) or ""  # alt+up has none, and Textual knows it
    characters = _NAMED.get(name, (character,) if character.isprintable() else ())
    if modifiers == ["alt"]:
        return [f"\x1b{character}" for character in characters if character]
    if modifiers == ["alt", "shift"]:
        return [f"\x1b{character.upper()}" for character in characters if character.islower()]
    return []


def key_of_character(character: str) -> str:
    """Return Textual's key name of a character."""
    return _character_to_key(character)


def character_of(name: str) -> str | None:
    """Return the character of a key name, None for a key without a character."""
    return key_to_character(REPLACED_KEYS.get(name, name))


def is_sequence_prefix(key: str) -> bool:
    """Return whether the key's escape sequence is a prefix of other sequences."""
    return any(
        known.startswith(sequence) and known != sequence
        for sequence in _sequences(key)
        for known in (*ANSI_SEQUENCES_KEYS, *_OPENERS)
    )


def rebind(
    node: DOMNode,
    bindings: Iterable[BindingType],
    inherited: type[DOMNode] | None = None,
    without: Iterable[str] = (),
) -> None:
    """Replace the bindings of a widget or app before it is mounted.

    It keeps the bindings of the class `inherited`, without the keys in `without`.
    """
    kept = inherited._merged_bindings if inherited else None
    keys = dict(kept.key_to_bindings) if kept else {}
    for key in without:
        keys.pop(key, None)
    node._bindings = BindingsMap.from_keys({**keys, **BindingsMap(bindings).key_to_bindings})


def bindings_for(node: DOMNode, key: str) -> list[Binding]:
    """Return the bindings of a key in this widget or app, after any remapping."""
    # Without remapped keys the bindings of the class are final, so this call need not copy them.
    found = _active_bindings(node) if node.app._keymap else node._bindings
    return found.key_to_bindings.get(key, [])


def active_keys(*nodes: DOMNode) -> dict[str, list[str]]:
    """Return the keys of these nodes' bindings by binding id, after any remapping."""
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for key, binding in _active_bindings(node):
            if binding.id is not None:
                keys[binding.id].append(key)
    return keys


def _active_bindings(node: DOMNode) -> BindingsMap:
    bindings = node._bindings.copy()
    if node.app._keymap:
        bindings.apply_keymap(node.app._keymap)
    return bindings
