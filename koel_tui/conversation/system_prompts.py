"""The user's system prompts, read from files of the config directory."""

from dataclasses import dataclass
from pathlib import Path

from koel_tui.system.regular_files import open_regular
from koel_tui.text import repair

_SUFFIXES = (".md", ".txt")
_MAX_PROMPTS = 200
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SystemPrompt:
    """A system prompt, named after its file."""

    name: str
    text: str


class SystemPrompts:
    """A directory of system prompts; it may not exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def all(self) -> list[SystemPrompt]:
        """Return the system prompts by name, without files that are too long or unreadable."""
        try:
            files = sorted(each for each in self.directory.iterdir() if each.suffix in _SUFFIXES)
        except OSError:
            return []
        return [prompt for file in files[:_MAX_PROMPTS] if (prompt := _load(file)) is not None]


def _load(file: Path) -> SystemPrompt | None:
    try:
        with open_regular(file) as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError:
        return None
    text = repair(data.decode(errors="replace")).strip()
    return SystemPrompt(file.stem, text) if text and len(data) <= _MAX_BYTES else None
