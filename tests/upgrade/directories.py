"""Helpers that install directories of version 0.1 where this version looks for its own."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = Path(__file__).with_name("v0_1")
FULL = FILES / "full"


def install(source: Path, home: Path) -> None:
    """Copy directories of 0.1, private to their owner and with current times."""
    shutil.copytree(source, home, dirs_exist_ok=True)
    for path in home.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path)  # the trash is emptied after 30 days


def expected() -> Mapping[str, Any]:
    """Return the data that 0.1 itself read from the directories in `FULL`."""
    found: dict[str, Any] = json.loads((FULL / "expected.json").read_text())
    return found
