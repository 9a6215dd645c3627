"""A cache of verified model files, keyed by SHA-256.

While path, size and modification time are unchanged, the cached hash is used, so that files are
not hashed at each start.
"""

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from koel_tui.models.install_file import put_in_place

_FORMAT = "koel-chat/models 2"
_LARGEST = 8 * 1024 * 1024
_MOST_KEPT = 2000
_PIECE = 1024 * 1024


class HashingStopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The caller stopped the hashing."""


@dataclass(frozen=True, slots=True)
class Traits:
    """Properties of a verified model.

    `has_template` is whether its file has a chat template, `fitting_template` the built-in one
    that fits its vocabulary, '' if none does.
    """

    architecture: str
    context_tokens: int
    has_template: bool = True
    fitting_template: str = ""


@dataclass(slots=True)
class _Memory:
    looks: dict[str, str] = field(default_factory=dict)
    traits: dict[str, Traits] = field(default_factory=dict)


class PassedModels:
    """A cache file of verified models, valid for one version of the engine.

    An unreadable or damaged file is an empty cache: models are then tested again.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self._path, self._engine = path, engine

    def recall(self, files: Sequence[Path]) -> Traits | None:
        """Return the traits of files that have not changed since they passed."""
        return next(self.recall_each([files]))

    def recall_each(self, models: Iterable[Sequence[Path]]) -> Iterator[Traits | None]:
        """Yield the result of `recall` for each model; the cache file is read once."""
        memory = self._read()
        for files in models:
            yield memory.traits.get(memory.looks.get(_look(files), ""))

    def recall_hash(self, digest: str) -> Traits | None:
        """Return the traits of files with this SHA-256."""
        return self._read().traits.get(digest)

    def remember(self, files: Sequence[Path], digest: str, traits: Traits) -> None:
        """Store that these files passed. Raises OSError."""
        memory = self._read()
        memory.looks.pop(_look(files), None)  # newest entries come last
        memory.looks[_look(files)] = digest
        memory.looks = dict(list(memory.looks.items())[-_MOST_KEPT:])
        memory.traits[digest] = traits
        used = set(memory.looks.values())
        memory.traits = {key: each for key, each in memory.traits.items() if key in used}
        self._write(memory)

    def _read(self) -> _Memory:
        try:
            with self._path.open("rb") as file:
                kept: Any = json.loads(file.read(_LARGEST))
            if kept["format"] != _FORMAT or kept["engine"] != self._engine:
                return _Memory()
            traits = {
                str(digest): Traits(
                    str(each["architecture"]),
                    int(each["context_tokens"]),
                    bool(each["has_template"]),
                    str(each["fitting_template"]),
                )
                for digest, each in kept["passed"].items()
            }
            return _Memory({str(k): str(v) for k, v in kept["looks"].items()}, traits)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return _Memory()

    def _write(self, memory: _Memory) -> None:
        data = {
            "format": _FORMAT,
            "engine": self._engine,
            "looks": memory.looks,
            "passed": {digest: asdict(traits) for digest, traits in memory.traits.items()},
        }
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".models.", suffix=".tmp")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(data, file)
            put_in_place(Path(name), self._path)
        except BaseException:
            with suppress(OSError):
                Path(name).unlink()
            raise


def _look(files: Sequence[Path]) -> str:
    looks = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            return ""
        looks.append([os.fspath(path.absolute()), status.st_size, status.st_mtime_ns])
    return json.dumps(looks)


def sha256_of(files: Sequence[Path], stop: threading.Event) -> str:
    """Return the SHA-256 of the concatenated files. Raises `HashingStopped` if `stop` is set."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                if stop.is_set():
                    raise HashingStopped
                digest.update(piece)
    return digest.hexdigest()
