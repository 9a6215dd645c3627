"""The identity of a model file, independent of the path to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from koel_tui.system.regular_files import expand_user


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """A model file. Two are equal if they are the same file, also through links.

    `path` is absolute and without symbolic links; `inode` is the file's device and inode.
    """

    path: Path
    inode: tuple[int, int] | None

    @classmethod
    def from_path(cls, path: Path) -> Self:
        """Return the identity of the file at `path`, which need not exist."""
        real = expand_user(path).resolve()
        try:
            status = real.stat()
        except OSError:
            return cls(real, None)
        return cls(real, (status.st_dev, status.st_ino))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ModelFile):
            return NotImplemented
        return self.path == other.path or (self.inode is not None and self.inode == other.inode)

    # Two equal files may differ in either field, so no hash agrees with `__eq__`.
    __hash__ = None  # type: ignore[assignment]  # the way to make a class unhashable
