"""The data that version 0.1 reads from the directories that `write.py` made it write."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from koel_tui.models.own import unfinished_downloads
from koel_tui.storage.exchange.exporting import ExportFormat, export_thread, take_thread
from koel_tui.storage.file_storage import FileStorage
from koel_tui.storage.recovery import left_behind, read_aside
from koel_tui.ui.history_file import HistoryFile
from koel_tui.ui.keymap import keymap_of
from koel_tui.ui.open_tabs import decode
from koel_tui.ui.roles import Roles
from koel_tui.ui.themes import read_themes

from koel_tui import paths
from koel_tui.protocol import encode_state
from koel_tui.settings import load_settings

Command = Callable[..., str]
SEARCHED = ("harbour", "Rome", "18 degrees", "Theirs", "strange", "print")


async def everything(storage: FileStorage, command: Command) -> dict[str, Any]:
    """Return what is in the directory whose threads are not encrypted."""
    return {
        "threads": await threads(storage, command),
        "searches": {text: hits(command("threads", "search", "--json", text)) for text in SEARCHED},
        "settings": settings(),
        "keys": keys(),
        "themes": [theme_fields(theme) for theme in read_themes(paths.themes_dir(), ())[0]],
        "roles": [asdict(role) for role in Roles(paths.roles_dir()).all()],
        "tabs": {path.name: json.loads(decode(path.read_bytes()).encode())
                 for path in sorted(paths.state_dir().glob("tabs-*.json"))},
        "history": [draft.as_json()
                    for draft in HistoryFile(paths.state_dir() / "history.jsonl").read()],
        "unfinished downloads": [each.name for each in unfinished_downloads(paths.models_dir())],
        "recovery": [recovered(path) for path in left_behind(paths.recovery_dirs())],
    }  # fmt: skip


async def threads(storage: FileStorage, command: Command) -> dict[str, Any]:
    """Return every thread with its list row, its export and its state; and the trash."""
    found = {}
    for name in sorted(await storage.list_threads()):
        state = await storage.load(name)
        assert state is not None
        exported = export_thread(await take_thread(storage, name), ExportFormat.JSON)
        assert json.loads(exported)["state"] == json.loads(encode_state(state))
        found[name] = json.loads(exported)
    rows = [json.loads(line) for line in command("threads", "list", "--json").splitlines()]
    trash = command("threads", "list", "--trash", "--json").splitlines()
    return {
        "exports": found,
        "list": sorted(rows, key=lambda row: row["id"]),
        "trash": sorted(map(json.loads, trash), key=lambda row: row["id"]),
    }


def hits(lines: str) -> list[list[str]]:
    found = [json.loads(line) for line in lines.splitlines()]
    return sorted([hit["thread"], hit["message"]] for hit in found)


def settings() -> dict[str, Any]:
    return {
        name: dict(value) if name == "keys" else json.loads(json.dumps(value, default=str))
        for name, value in load_settings()
    }


def keys() -> dict[str, Any]:
    keymap = keymap_of(load_settings().keys)
    return {
        key.id: {"keys": key.names, "action": key.action, "group": key.group}
        for key in (*keymap.window, *keymap.prompt)
    }


def theme_fields(theme: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(theme).items() if value is not None}


def recovered(path: Path) -> dict[str, Any]:
    unsaved = read_aside(path, None)
    return {
        "threads": [
            {"id": each.id, "title": each.title, "state": json.loads(encode_state(each.state))}
            for each in unsaved.threads
        ],
        "tabs": unsaved.tabs,
    }
