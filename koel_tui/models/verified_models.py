"""A cache of verified model files, keyed by SHA-256.

While path, size and modification time are unchanged, the cached hash is used, so that files are
not hashed at each start.
"""

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from koel_tui.system.atomic_write import write_atomically

_FORMAT = "koel-chat/models 2"
_MAX_FILE_BYTES = 8 * 1024 * 1024
_MAX_ENTRIES = 2000
_CHUNK_BYTES = 1024 * 1024


class HashingStopped(Exception):  # noqa: N818 - not an error: the caller requested it
    """The caller stopped the hashing."""


@dataclass(frozen=True, slots=True)
class ModelProperties:
    """Properties of a verified model.

    `has_template` is whether its file has a chat template, `fitting_template` the built-in one
    that fits its vocabulary, '' if none does.
    """

    architecture: str
    context_tokens: int
    has_template: bool = True
    fitting_template: str = ""


@dataclass(slots=True)
class _Entries:
    stat_keys: dict[str, str] = field(default_factory=dict)
    properties: dict[str, ModelProperties] = field(default_factory=dict)


class VerifiedModels:
    """A cache file of verified models, valid for one version of the engine.

    An unreadable or damaged file is an empty cache: models are then tested again.
    """

    def __init__(self, path: Path, engine: str) -> None:
        self._path, self._engine = path, engine

    def find(self, files: Sequence[Path]) -> ModelProperties | None:
        """Return the properties of files that have not changed since they passed."""
        return next(self.find_each([files]))

    def find_each(self, models: Iterable[Sequence[Path]]) -> Iterator[ModelProperties | None]:
        """Yield the result of `find` for each model; the cache file is read once."""
        entries = self._read()
        for files in models:
            yield entries.properties.get(entries.stat_keys.get(_stat_key(files), ""))

    def find_by_hash(self, digest: str) -> ModelProperties | None:
        """Return the properties of files with this SHA-256."""
        return self._read().properties.get(digest)

    def add(self, files: Sequence[Path], digest: str, properties: ModelProperties) -> None:
        """Store that these files passed. Raises OSError."""
        entries = self._read()
        entries.stat_keys.pop(_stat_key(files), None)  # newest entries come last
        entries.stat_keys[_stat_key(files)] = digest
        entries.stat_keys = dict(list(entries.stat_keys.items())[-_MAX_ENTRIES:])
        entries.properties[digest] = properties
        used = set(entries.stat_keys.values())
        entries.properties = {key: each for key, each in entries.properties.items() if key in used}
        self._write(entries)

    def _read(self) -> _Entries:
        try:
            with self._path.open("rb") as file:
                data: Any = json.loads(file.read(_MAX_FILE_BYTES))
            if data["format"] != _FORMAT or data["engine"] != self._engine:
                return _Entries()
            properties = {
                str(digest): ModelProperties(
                    str(each["architecture"]),
                    int(each["context_tokens"]),
                    bool(each["has_template"]),
                    str(each["fitting_template"]),
                )
                for digest, each in data["passed"].items()
            }
            return _Entries({str(k): str(v) for k, v in data["looks"].items()}, properties)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return _Entries()

    def _write(self, entries: _Entries) -> None:
        data = {
            "format": _FORMAT,
            "engine": self._engine,
            "looks": entries.stat_keys,
            "passed": {
                digest: asdict(properties) for digest, properties in entries.properties.items()
            },
        }
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path, json.dumps(data).encode("ascii"))


def _stat_key(files: Sequence[Path]) -> str:
    stat_keys = []
    for path in files:
        try:
            status = path.stat()
        except OSError:
            return ""
        stat_keys.append([os.fspath(path.absolute()), status.st_size, status.st_mtime_ns])
    return json.dumps(stat_keys)


def sha256_of(files: Sequence[Path], stop: threading.Event) -> str:
    """Return the SHA-256 of the concatenated files. Raises `HashingStopped` if `stop` is set."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                if stop.is_set():
                    raise HashingStopped
                digest.update(chunk)
    return digest.hexdigest()
