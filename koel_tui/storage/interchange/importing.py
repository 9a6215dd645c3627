"""Import of threads from files of other programs and computers, with format detection."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.chatgpt import from_chatgpt, is_chatgpt
from koel_tui.storage.interchange.database import Database, open_database
from koel_tui.storage.interchange.elia import from_elia, is_elia
from koel_tui.storage.interchange.input_file import detect_kind, read_json, read_json_in_zip
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
_JSON = MappingProxyType(
    {
        ImportFormat.JSON: (is_native, from_native),
        ImportFormat.KOEL: (is_koel, from_koel),
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
        return _detect_json(read_json_in_zip(path) if kind == "zip" else read_json(path))
    except NotAThreadError as error:
        raise ImportProblem(path, error, _ADVICE) from error


def read_threads(path: Path, form: ImportFormat | None = None) -> Iterator[Thread | ImportProblem]:
    """Yield the threads in a file, or a problem for each invalid one.

    The format is detected if `form` is None. Raises `ImportProblem` if no further thread can be
    read.
    """
    try:
        kind = detect_kind(path)
        if kind == "sqlite":
            with open_database(path) as database:
                yield from _to_problems(path, _threads_in_database(database, form))
        else:
            wire = read_json_in_zip(path) if kind == "zip" else read_json(path)
            yield from _to_problems(path, _threads_in_json(wire, form))
    except NotAThreadError as error:
        raise ImportProblem(path, error, _ADVICE) from error


def _to_problems(path: Path, threads: FoundThreads) -> Iterator[Thread | ImportProblem]:
    for item in threads:
        yield item if isinstance(item, Thread) else ImportProblem(path, item, _ADVICE)


def _threads_in_database(database: Database, form: ImportFormat | None) -> FoundThreads:
    detected = form or _detect_database(database)
    if detected not in _DATABASES or not _DATABASES[detected][0](database):
        raise NotAThreadError(f"it is not a database of {detected}")
    return _DATABASES[detected][1](database)


def _threads_in_json(wire: Any, form: ImportFormat | None) -> FoundThreads:
    detected = form or _detect_json(wire)
    if detected not in _JSON or not _JSON[detected][0](wire):
        raise NotAThreadError(f"it is not in the format {detected}")
    return _JSON[detected][1](wire)


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
