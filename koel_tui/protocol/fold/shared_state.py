"""The fold of the shared state: snapshots replace it, patches change it."""

from dataclasses import replace

from ag_ui.core import StateDeltaEvent, StateSnapshotEvent

from koel_tui.protocol.codec.json_values import is_same_json, plain
from koel_tui.protocol.fold.helpers import JSON_ERRORS, with_malformed_event
from koel_tui.protocol.fold.json_patch import PatchError, apply_patch_operations
from koel_tui.protocol.state import ChatState


def replace_state(event: StateSnapshotEvent, state: ChatState) -> ChatState:
    """Replace the state with a snapshot, which is null or an object."""
    try:
        snapshot = {} if event.snapshot is None else plain(event.snapshot)
    except JSON_ERRORS as error:
        return with_malformed_event(state, event, error)
    if not isinstance(snapshot, dict):
        return with_malformed_event(state, event, TypeError("it is not an object"))
    return state if is_same_json(snapshot, state.state) else replace(state, state=snapshot)


def patch_state(event: StateDeltaEvent, state: ChatState) -> ChatState:
    """Apply an atomic patch to the state."""
    try:
        changed = apply_patch_operations(state.state, event.delta)
    except PatchError as error:
        return with_malformed_event(state, event, error)
    return state if is_same_json(changed, state.state) else replace(state, state=changed)
