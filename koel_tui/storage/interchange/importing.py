"""Import of threads from files of other programs and computers, with format detection."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from enum import StrEnum
from itertools import chain, count, islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.file_names import JSON_SUFFIX, is_thread_file
from koel_tui.storage.files.thread_file import joined_text, read_thread
from koel_tui.storage.interchange.chatgpt import from_chatgpt, is_chatgpt
from koel_tui.storage.interchange.database import Database, open_database
from koel_tui.storage.interchange.elia import from_elia, is_elia
from koel_tui.storage.interchange.input_file import (
    OnRead,
    ReplacedCharactersError,
    RestError,
    detect_kind,
    read_json,
    read_json_in_zip,
)
from koel_tui.storage.interchange.json_format import from_koel, from_native, is_koel, is_native
from koel_tui.storage.interchange.llm import from_llm, is_llm
from koel_tui.storage.interchange.oterm import from_oterm, is_oterm
from koel_tui.storage.interchange.portable_thread import ImportProblem, Thread
from koel_tui.storage.thread_record import parse_json

_ADVICE = "Check that the file is the right one and complete."
_ENCODING_ADVICE = (
    "Move the imported threads to the trash, convert the file to UTF-8 and import it again."
)
_MAX_UNKNOWN = 20
"""The number of values of another format before the first one of a known format."""
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
Convert = Callable[[Any], Thread | None]
_JSON: MappingProxyType[ImportFormat, tuple[Callable[[object], bool], Convert, str]] = (
    MappingProxyType(
        {
            ImportFormat.JSON: (is_native, from_native, "thread"),
            ImportFormat.KOEL: (is_koel, from_koel, "thread"),
            ImportFormat.CHATGPT: (is_chatgpt, from_chatgpt, "conversation"),
        }
    )
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
            return _detect_json(deque(), values, None)
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
        raise _to_problem(path, error) from error


def _read_values(
    path: Path, kind: str, on_read: OnRead | None = None
) -> Generator[Any, None, None]:
    """Yield the conversations or threads of a file, parsed one after the other."""
    joined = _read_with_journal(path) if kind == "json" else None
    if joined is not None:
        yield joined
    else:
        yield from read_json_in_zip(path, on_read) if kind == "zip" else read_json(path, on_read)


def _read_with_journal(path: Path) -> Any | None:
    """Return the parsed JSON of a file of this program with its journal; None if it has none."""
    with suppress(NotAThreadError, StorageError, OSError):
        file = read_thread(path) if is_thread_file(path.name, JSON_SUFFIX) else None
        if file is not None and file.records.contents:
            return parse_json(joined_text(UnencryptedCodec(path.parent), path, file))
    return None


def _to_problems(path: Path, threads: FoundThreads) -> Iterator[Thread | ImportProblem]:
    def convert(item: Thread | NotAThreadError) -> Thread | ImportProblem:
        return item if isinstance(item, Thread) else _to_problem(path, item)

    return map(convert, threads)  # unlike a loop, it does not keep the last thread in memory


def _to_problem(path: Path, error: NotAThreadError) -> ImportProblem:
    if isinstance(error, ReplacedCharactersError):
        return ImportProblem(f"A part of the text in {path}", error, _ENCODING_ADVICE)
    return ImportProblem(
        f"The rest of {path}" if isinstance(error, RestError) else path, error, _ADVICE
    )


def _threads_in_database(database: Database, form: ImportFormat | None) -> FoundThreads:
    detected = form or _detect_database(database)
    if detected not in _DATABASES or not _DATABASES[detected][0](database):
        raise NotAThreadError(f"it is not a database of {detected}")
    return _DATABASES[detected][1](database)


def _threads_in_json(values: Iterator[Any], form: ImportFormat | None) -> FoundThreads:
    begin: deque[Any] = deque()
    _, convert, item = _JSON[_detect_json(begin, values, form)]
    if len(begin) > 1:  # the others before it are invalid
        return _convert_each(convert, item, _with_first(begin, values))
    try:
        thread = convert(begin[0])
    except NotAThreadError:
        begin.extend(islice(values, 1))
        if len(begin) == 1:  # the only one, so that no thread can be read
            raise
        return _convert_each(convert, item, _with_first(begin, values))
    first = () if thread is None else (thread,)
    return chain(first, _convert_each(convert, item, values, first_number=2))


def _convert_each(
    convert: Convert, item: str, values: Iterator[Any], first_number: int = 1
) -> FoundThreads:
    """Yield the threads, or an error with the reason for each invalid one.

    No value is referenced here after it was converted, because it may be large.
    """

    def convert_one(value: Any, number: int) -> Thread | NotAThreadError | None:
        if isinstance(value, NotAThreadError):
            return value
        try:
            return convert(value)
        except NotAThreadError as error:
            return NotAThreadError(f"{item} {number}: {error}")

    return filter(None, map(convert_one, values, count(first_number)))


def _with_first(begin: deque[Any], values: Iterator[Any]) -> Iterator[Any]:
    """Yield the first values and the others, without a reference to those that were yielded."""
    while begin:
        yield begin.popleft()
    yield from values


def _detect_database(database: Database) -> ImportFormat:
    candidates = (form for form, (matches, _) in _DATABASES.items() if matches(database))
    return _first_format(candidates, "its tables are not those of a supported program")


def _detect_json(
    begin: deque[Any], values: Iterator[Any], form: ImportFormat | None
) -> ImportFormat:
    """Return the format of the first value that has a known one, or the given one.

    The values up to it are added to `begin`; those before it are invalid.
    """
    if form is not None and form not in _JSON:
        raise NotAThreadError(f"it is not in the format {form}")
    known = _JSON if form is None else {form: _JSON[form]}
    for value in islice(values, _MAX_UNKNOWN):
        begin.append(value)
        for candidate, (matches, _, _) in known.items():
            if matches(value):
                return candidate
    errors = (
        value
        for value in begin
        if isinstance(value, NotAThreadError) and not isinstance(value, ReplacedCharactersError)
    )
    if (error := next(errors, None)) is not None:
        raise error
    if form is not None:
        raise NotAThreadError(f"it is not in the format {form}")
    raise _unknown("its content is not in a supported format")


def _first_format(candidates: Iterator[ImportFormat], reason: str) -> ImportFormat:
    form = next(candidates, None)
    if form is None:
        raise _unknown(reason)
    return form


def _unknown(reason: str) -> NotAThreadError:
    return NotAThreadError(f"{reason}. {_KNOWN[:-1]}")
