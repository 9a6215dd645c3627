"""The user's system prompts (roles), read from files of the config directory."""

from dataclasses import dataclass
from pathlib import Path

from koel_tui.system.regular_files import open_regular
from koel_tui.text import repair

_ENDINGS = (".md", ".txt")
_MOST = 200
_LONGEST = 64 * 1024


@dataclass(frozen=True, slots=True)
class Role:
    """A system prompt, named after its file."""

    name: str
    text: str


class SystemPrompts:
    """A directory of system prompts; it may not exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def all(self) -> list[Role]:
        """Return the system prompts by name, without files that are too long or unreadable."""
        try:
            files = sorted(each for each in self.directory.iterdir() if each.suffix in _ENDINGS)
        except OSError:
            return []
        return [role for file in files[:_MOST] if (role := _read(file)) is not None]


def _read(file: Path) -> Role | None:
    try:
        with open_regular(file) as opened:
            data = opened.read(_LONGEST + 1)
    except OSError:
        return None
    text = repair(data.decode(errors="replace")).strip()
    return Role(file.stem, text) if text and len(data) <= _LONGEST else None
