"""The keymap: the key table with the user's remapped keys."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from textual.app import App
from textual.dom import DOMNode
from textual.keys import Keys
from textual.widgets import TextArea

from koel_tui.text import safe_line
from koel_tui.ui import internals
from koel_tui.ui.keys.key_table import ALL_KEYS, CLOSE_PREFIX, SHORT, Key, Owner, bindings

if TYPE_CHECKING:
    from koel_tui.settings import SettingsError

NO_KEY = "none"
"""The text in config.toml for a binding without a key."""

_MODIFIERS = frozenset({"alt", "ctrl", "hyper", "meta", "shift", "super"})
_LONG_NAMES = {
    **{short: long for long, short in SHORT.items()},
    "ins": "insert",
    "return": "enter",
}
"""Textual's names of keys that users may write in another way."""
_KEY_LIKE = re.compile(r"(\w{1,9}\+){0,4}(\w{1,13}|[^\w\s])")
"""Text that resembles a key; other text is not repeated in errors, because it may be a secret."""
_TEXTUAL_KEYS = frozenset(key.value for key in Keys)
_UNMODIFIED_KEYS = frozenset(key.split("+")[-1] for key in _TEXTUAL_KEYS)
_ALIASES = {
    "ctrl+i": "tab",
    "ctrl+m": "enter",
    "ctrl+left_square_bracket": "escape",
    "ctrl+space": "ctrl+@",
}
"""Keys that most terminals send as another key, and that key."""

_INHERITED: Mapping[Owner, type[DOMNode]] = {"prompt": TextArea}
"""The classes of Textual whose bindings a node keeps in addition to those of the key table."""

_LIST_KEYS = frozenset({"up", "down", "pageup", "pagedown"})
PANEL_KEYS: Mapping[str, frozenset[str]] = {
    "tab.open": _LIST_KEYS
    | {"f2", "ctrl+r", "ctrl+d", "f8", "ctrl+z", "ctrl+s", "f7", "ctrl+t", "f9"},
    "tab.find": _LIST_KEYS,
    "tab.beside": _LIST_KEYS,
    "links": _LIST_KEYS,
    "save.code": _LIST_KEYS,
    "queue": _LIST_KEYS | {"delete", "ctrl+d"},
    "thread.settings": frozenset({"ctrl+o", "ctrl+s", "up", "down"}),
}
"""By id of a binding that opens a panel: the keys with another function in that panel.

The key that opens a panel also dismisses it, so it must not be one of these. They are listed here,
because the panels are not imported before the first paint.
"""


@dataclass(frozen=True, slots=True)
class KeyMap:
    """All bindings of the key table as they apply, and those of them that the user remapped."""

    keys: tuple[Key, ...] = ALL_KEYS
    remapped: tuple[Key, ...] = ()

    def bind(self, app: App[int], nodes: Mapping[Owner, DOMNode]) -> None:
        """Apply the keys to the nodes with their actions. Call it before the app is mounted."""
        internals.register_alt_sequences(name for key in self.keys for name in key.names)
        if not self.remapped:
            return  # the classes already have the default bindings
        # A key that the user chose must not edit the prompt instead of reaching its action.
        chosen = [name for key in self.remapped for name in key.names]
        for owner, node in nodes.items():
            internals.rebind(node, bindings(owner, self.keys), _INHERITED.get(owner), chosen)
        # Panels are created later, so Textual replaces the keys that dismiss them.
        app.set_keymap({CLOSE_PREFIX + key.id: key.keys for key in self.remapped})


def parse_keymap(remapped: Mapping[str, str]) -> KeyMap:
    """Return the keymap for the setting `keys`: comma-separated keys by binding id.

    Raises `SettingsError` for an unknown id, an invalid key, or a key with two functions.
    """
    known = {key.id: key for key in ALL_KEYS if not key.fixed}
    changed: dict[str, Key] = {}
    for binding_id, keys in remapped.items():
        if binding_id not in known:
            raise _keymap_error(binding_id, _unknown_id_message(binding_id, known))
        changed[binding_id] = replace(known[binding_id], keys=_parse_keys(binding_id, keys))
    all_keys = tuple(changed.get(key.id, key) for key in ALL_KEYS)
    _check_duplicates(all_keys, changed)
    _check_panel_keys(changed)
    return KeyMap(all_keys, tuple(changed.values()))


def key_name(text: str) -> str:
    """Return Textual's name of a key. Raises `ValueError` if the key is unusable.

    Modifiers may have any order, and display names from the list of keys are accepted. A letter of
    another layout is the Latin letter at its position. The message of the error is a reason without
    its subject: "types a character".
    """
    written = text.strip().lower()
    if written == "+" or written.endswith("++"):  # the last + is the key, not a separator
        written = f"{written[:-1]}{internals.key_of_character('+')}"
    *modifiers, name = written.split("+")
    name = _LONG_NAMES.get(name, internals.LIGATURES.get(name, name))
    if len(name) == 1 and written not in _TEXTUAL_KEYS:  # ctrl+@ is a name of Textual
        if modifiers and (shifted := internals.shifted_key(name)):
            name, modifiers = shifted, [*modifiers, "shift"]
        name = internals.key_of_character(internals.latin_key(name) if modifiers else name)
    if not _MODIFIERS.issuperset(modifiers) or not _is_known(name):
        raise ValueError(
            "is not a key that terminals send. Write it like ctrl+y, alt+shift+k or f7"
        )
    key = "+".join([*sorted(set(modifiers)), name])
    if _is_typed(key):
        raise ValueError("types a character. Put ctrl+ or alt+ before it")
    if key in _ALIASES:
        raise ValueError(
            f"arrives from most terminals as {_ALIASES[key]}. Use that name if you mean it"
        )
    if internals.is_sequence_prefix(key):
        raise ValueError("begins the sequences of other keys. Choose another key")
    return key


def _parse_keys(binding_id: str, keys: str) -> str:
    """Return comma-separated keys with Textual's names. Raises `SettingsError`."""
    if keys.strip().lower() in ("", NO_KEY):
        return ""
    names = []
    for text in keys.split(","):
        if not text.strip():
            raise _keymap_error(binding_id, f'A key is empty. Write "{NO_KEY}" for no key')
        try:
            names.append(key_name(text))
        except ValueError as error:
            raise _keymap_error(binding_id, f"{_quote_key(text)} {error}") from None
    return ",".join(dict.fromkeys(names))


def _quote_key(text: str) -> str:
    """Return the written key for an error message, but hide text that does not resemble a key."""
    written = text.strip()
    return repr(safe_line(written)) if _KEY_LIKE.fullmatch(written) else "The text for the key"


def _is_known(name: str) -> bool:
    return name in _UNMODIFIED_KEYS or internals.character_of(name) is not None


def _is_typed(key: str) -> bool:
    *modifiers, name = key.split("+")
    character = internals.character_of(name)
    return character is not None and character.isprintable() and {"shift"}.issuperset(modifiers)


def _check_duplicates(keys: tuple[Key, ...], changed: Mapping[str, Key]) -> None:
    taken: dict[str, Key] = {}
    for key in keys:
        for name in key.names:
            if name in taken:
                remapped, other = (key, taken[name]) if key.id in changed else (taken[name], key)
                raise _keymap_error(
                    remapped.id,
                    f"{name} is also a key of {other.id!r} ({other.help}). Give one of the two "
                    f'another key, or "{NO_KEY}"',
                )
            taken[name] = key


def _check_panel_keys(changed: Mapping[str, Key]) -> None:
    for key in changed.values():
        for name in key.names:
            if name in PANEL_KEYS.get(key.id, ()):
                raise _keymap_error(
                    key.id,
                    f"{name} has another function in the panel that this binding opens and closes. "
                    "Choose another key",
                )


def _unknown_id_message(binding_id: str, known: Mapping[str, Key]) -> str:
    import difflib

    near = difflib.get_close_matches(binding_id, known, 3, 0.5)
    suggestion = f". Similar names: {', '.join(near)}" if near else ""
    return f"Unknown key binding{suggestion}"


def _keymap_error(binding_id: str, why: str) -> "SettingsError":
    from koel_tui.settings import invalid_setting_error

    return invalid_setting_error(["keys", safe_line(binding_id, 40)], why)
