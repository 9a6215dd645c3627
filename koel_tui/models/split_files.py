"""Names of split model files, such as `name-00001-of-00003.gguf`."""

import re
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(
    r"(?P<base>.+)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<ending>\.gguf)", re.IGNORECASE
)
_MAX_PARTS = 1000


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a split model; numbers start at 1."""

    base: str
    number: int
    total: int
    ending: str

    def name(self, number: int) -> str:
        """Return the file name of another part."""
        return f"{self.base}-{number:05}-of-{self.total:05}{self.ending}"

    def names(self) -> tuple[str, ...]:
        """Return the file names of all parts, in order."""
        return tuple(self.name(number) for number in range(1, self.total + 1))


def parse_part(name: str) -> Part | None:
    """Parse a file name; return None if it is not a part of a split model."""
    found = _PART.fullmatch(name)
    if found is None:
        return None
    part = Part(found["base"], int(found["number"]), int(found["total"]), found["ending"])
    return part if 1 <= part.number <= part.total <= _MAX_PARTS else None


def is_model_file_name(name: str) -> bool:
    """Return whether a file name can be a model: a GGUF file, but not a projector."""
    lower = name.lower()
    return lower.endswith(".gguf") and not lower.startswith(".") and "mmproj" not in lower


def first_part(path: Path) -> Path:
    """Return the first part of a split model, which llama.cpp loads; another file unchanged."""
    part = parse_part(path.name)
    return path if part is None else path.with_name(part.name(1))
