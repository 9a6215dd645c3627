"""Import of threads from files of other programs and computers, with format detection."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.chatgpt import from_chatgpt, is_chatgpt
from koel_tui.storage.interchange.database import Database, open_database
from koel_tui.storage.interchange.elia import from_elia, is_elia
from koel_tui.storage.interchange.input_file import (
    OnRead,
    detect_kind,
    read_json,
    read_json_in_zip,
)
from koel_tui.storage.interchange.json_format import from_koel, from_native, is_koel, is_native
from koel_tui.storage.interchange.llm import from_llm, is_llm
from koel_tui.storage.interchange.oterm import from_oterm, is_oterm
from koel_tui.storage.interchange.portable_thread import ImportProblem, Thread

_ADVICE = "Check that the file is the right one and complete."
_KNOWN = "Supported: JSON of koel-chat and Koel, ChatGPT exports, databases of oterm, elia, llm."


class ImportFormat(StrEnum):
    """The import formats."""

    JSON = "json"
    KOEL = "koel"
    CHATGPT = "chatgpt"
    OTERM = "oterm"
    ELIA = "elia"
    LLM = "llm"


FoundThreads = Iterator[Thread | NotAThreadError]
_JSON: MappingProxyType[
    ImportFormat, tuple[Callable[[object], bool], Callable[[Iterable[Any]], FoundThreads]]
] = MappingProxyType(
    {
        ImportFormat.JSON: (
            is_native,
            lambda values: chain.from_iterable(map(from_native, values)),
        ),
        ImportFormat.KOEL: (is_koel, lambda values: chain.from_iterable(map(from_koel, values))),
        ImportFormat.CHATGPT: (is_chatgpt, from_chatgpt),
    }
)
_DATABASES: MappingProxyType[
    ImportFormat, tuple[Callable[[Database], bool], Callable[[Database], FoundThreads]]
] = MappingProxyType(
    {
        ImportFormat.OTERM: (is_oterm, from_oterm),
        ImportFormat.ELIA: (is_elia, from_elia),
        ImportFormat.LLM: (is_llm, from_llm),
    }
)


def detect(path: Path) -> ImportFormat:
    """Return the format of a file, detected from its content. Raises `ImportProblem`."""
    try:
        kind = detect_kind(path)
        if kind == "sqlite":
            with open_database(path) as database:
                return _detect_database(database)
        with closing(_read_values(path, kind)) as values:
            return _detect_json(next(values, None))
    except NotAThreadError as error:
        raise ImportProblem(path, error, _ADVICE) from error


def read_threads(
    path: Path, form: ImportFormat | None = None, on_read: OnRead | None = None
) -> Iterator[Thread | ImportProblem]:
    """Yield the threads in a file, or a problem for each invalid one.

    The format is detected if `form` is None. `on_read` is called with the bytes of JSON that were
    read and their number. Raises `ImportProblem` if no further thread can be read.
    """
    try:
        kind = detect_kind(path)
        if kind == "sqlite":
            with open_database(path) as database:
                yield from _to_problems(path, _threads_in_database(database, form))
        else:
            with closing(_read_values(path, kind, on_read)) as values:
                yield from _to_problems(path, _threads_in_json(values, form))
    except NotAThreadError as error:
        raise ImportProblem(path, error, _ADVICE) from error


def _read_values(
    path: Path, kind: str, on_read: OnRead | None = None
) -> Generator[Any, None, None]:
    """Yield the conversations or threads of a file, parsed one after the other."""
    yield from read_json_in_zip(path, on_read) if kind == "zip" else read_json(path, on_read)


def _to_problems(path: Path, threads: FoundThreads) -> Iterator[Thread | ImportProblem]:
    def convert(item: Thread | NotAThreadError) -> Thread | ImportProblem:
        return item if isinstance(item, Thread) else ImportProblem(path, item, _ADVICE)

    return map(convert, threads)  # unlike a loop, it does not keep the last thread in memory


def _threads_in_database(database: Database, form: ImportFormat | None) -> FoundThreads:
    detected = form or _detect_database(database)
    if detected not in _DATABASES or not _DATABASES[detected][0](database):
        raise NotAThreadError(f"it is not a database of {detected}")
    return _DATABASES[detected][1](database)


def _threads_in_json(values: Iterator[Any], form: ImportFormat | None) -> FoundThreads:
    begin = list(islice(values, 1))
    detected = form or _detect_json(begin[0] if begin else None)
    if detected not in _JSON or not begin or not _JSON[detected][0](begin[0]):
        raise NotAThreadError(f"it is not in the format {detected}")
    return _JSON[detected][1](_with_first(begin, values))


def _with_first(begin: list[Any], values: Iterator[Any]) -> Iterator[Any]:
    """Yield the first value and the others, without a reference to those that were yielded."""
    while begin:
        yield begin.pop()
    yield from values


def _detect_database(database: Database) -> ImportFormat:
    candidates = (form for form, (matches, _) in _DATABASES.items() if matches(database))
    return _first_format(candidates, "its tables are not those of a supported program")


def _detect_json(wire: Any) -> ImportFormat:
    candidates = (form for form, (matches, _) in _JSON.items() if matches(wire))
    return _first_format(candidates, "its content is not in a supported format")


def _first_format(candidates: Iterator[ImportFormat], reason: str) -> ImportFormat:
    form = next(candidates, None)
    if form is None:
        raise NotAThreadError(f"{reason}. {_KNOWN[:-1]}")
    return form
