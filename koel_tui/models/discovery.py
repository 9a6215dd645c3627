"""Discovery of models on this computer, downloaded by koel-chat or other programs."""

import enum
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from koel_tui import paths
from koel_tui.models.directory_walk import walk_files
from koel_tui.models.gguf import quick_reason
from koel_tui.models.incomplete import (
    is_downloading,
    why_incomplete,
    why_missing_in_ollama,
    why_unfinished,
)
from koel_tui.models.ollama import ollama_models
from koel_tui.models.split_files import is_model_file_name, parse_part
from koel_tui.models.starter import starter_model
from koel_tui.system.regular_files import expand_user


class Source(enum.StrEnum):
    """The program or folder that has a model; the values are user-visible."""

    STARTER = "starter"
    DOWNLOADED = "koel-chat"
    HUGGING_FACE = "Hugging Face"
    LM_STUDIO = "LM Studio"
    LLAMA_CPP = "llama.cpp"
    OLLAMA = "Ollama"
    HOME = "~/models"
    FOLDER = "folder"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A complete model; `path` is the first file of a split model.

    `aliases` are further names of the same model. `note` is what the user must know about it, as
    a clause, and `mark` the same in a few words. `adapters` are the adapters that its program uses
    and koel-chat does not.
    """

    name: str
    path: Path
    size_bytes: int
    source: Source
    aliases: tuple[str, ...] = ()
    note: str = ""
    mark: str = ""
    adapters: tuple[Path, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names of the model."""
        return (self.name, *self.aliases)


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and a user unknown to the system
        return Path(os.devnull)  # has no entries


@dataclass(frozen=True, slots=True)
class SearchRoots:
    """Base of the search: home directory, environment and file system root."""

    home: Path = field(default_factory=_home)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    root: Path = Path("/")

    def directory_from_env(self, *names: str) -> Path | None:
        """Return the directory in the first of these variables that is set."""
        value = next((self.environ[name] for name in names if self.environ.get(name)), None)
        return None if value is None else expand_user(Path(value))

    def model_directories(self) -> Iterator[tuple[Source, Path]]:
        """Yield the directories of GGUF files of other programs."""
        cache = self.directory_from_env("XDG_CACHE_HOME") or self.home / ".cache"
        hub_home = self.directory_from_env("HF_HOME") or cache / "huggingface"
        hub = self.directory_from_env("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
        yield Source.HUGGING_FACE, hub or hub_home / "hub"
        yield Source.LM_STUDIO, self.home / ".lmstudio" / "models"
        yield Source.LM_STUDIO, cache / "lm-studio" / "models"
        if configured := self.directory_from_env("LLAMA_CACHE"):
            yield Source.LLAMA_CPP, configured
        yield Source.LLAMA_CPP, cache / "llama.cpp"
        yield Source.LLAMA_CPP, self.home / "Library" / "Caches" / "llama.cpp"
        yield Source.HOME, self.home / "models"

    def ollama_directories(self) -> tuple[Path, ...]:
        """Return the directories of Ollama: that of the user and that of the Linux service."""
        configured = self.directory_from_env("OLLAMA_MODELS")
        if configured is not None:
            return (configured,)
        subdirectory = Path(".ollama") / "models"
        return (self.home / subdirectory, self.root / "usr" / "share" / "ollama" / subdirectory)


def find_models(
    folders: Iterable[Path] = (),
    roots: SearchRoots | None = None,
    models_directory: Path | None = None,
) -> list[FoundModel]:
    """Return the models on this computer and in `folders`, each once, with its first source.

    Files that are certainly not models of text are left out. `models_directory` is the directory of
    downloaded models. Blocks for some milliseconds, longer on slow disks: call it in a worker
    thread.
    """
    return list(iter_models(folders, roots, models_directory))


def iter_models(
    folders: Iterable[Path] = (),
    roots: SearchRoots | None = None,
    models_directory: Path | None = None,
) -> Iterator[FoundModel]:
    """Yield the models of `find_models`, each as soon as it is found."""
    roots = roots or SearchRoots()
    return _unique(
        chain(
            _starter(),
            _in_folder(Source.DOWNLOADED, models_directory or paths.models_dir()),
            (model for found in roots.model_directories() for model in _in_folder(*found)),
            (model for root in roots.ollama_directories() for model in _in_ollama(root)),
            (each for folder in folders for each in _in_folder(Source.FOLDER, expand_user(folder))),
        )
    )


def why_missing(name: str, folders: Iterable[Path] = (), roots: SearchRoots | None = None) -> str:
    """Return why no complete model is called `name`, as sentences; '' if the name is unknown."""
    roots = roots or SearchRoots()
    places = [paths.models_dir(), *(folder for _, folder in roots.model_directories())]
    places += map(expand_user, folders)
    reasons = chain(
        (why_unfinished(name, folder) for folder in places[:1]),
        (why_incomplete(name, folder) for folder in places),
        (why_missing_in_ollama(name, root) for root in roots.ollama_directories()),
    )
    return next(filter(None, reasons), "")


def _starter() -> Iterator[FoundModel]:
    path = starter_model()
    if path is not None:
        yield FoundModel(path.stem, path, path.stat().st_size, Source.STARTER)


def _in_folder(source: Source, folder: Path) -> Iterator[FoundModel]:
    # The Hugging Face cache has the weights as unnamed files in `blobs`, and named links to them.
    files = {path: _size(path) for path in walk_files(folder) if is_model_file_name(path.name)}
    for path in files:
        part = parse_part(path.name)
        if part is None:
            names: Sequence[Path] = (path,)
        elif part.number == 1:
            names = [path.with_name(name) for name in part.names()]
        else:
            continue  # included in the first part
        sizes = [files.get(each, 0) for each in names]
        # With a missing or empty part the model is incomplete.
        if all(sizes) and not any(map(is_downloading, names)) and not quick_reason(path):
            name = path.stem if part is None else part.base
            yield FoundModel(name, path, sum(sizes), source)


def _in_ollama(root: Path) -> Iterator[FoundModel]:
    for model in ollama_models(root):
        if not model.reason:
            name, *aliases = model.names
            yield FoundModel(
                name,
                model.path,
                _size(model.path),
                Source.OLLAMA,
                tuple(aliases),
                model.note,
                model.mark,
                model.adapters,
            )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _unique(found: Iterable[FoundModel]) -> Iterator[FoundModel]:
    seen: set[tuple[int, int, tuple[Path, ...]]] = set()
    for model in found:
        try:
            status = model.path.stat()
        except OSError:
            continue  # it was just removed
        # With other adapters, the same file is another model in its program.
        key = (status.st_dev, status.st_ino, model.adapters)
        if key not in seen:
            seen.add(key)
            yield model
