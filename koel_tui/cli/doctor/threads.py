"""The check of the saved threads, of other files in their directory, and of the search index."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui import paths
from koel_tui.cli.doctor.findings import Finding, format_names, problem, warning
from koel_tui.cli.early_settings import is_encrypted
from koel_tui.cli.exit_codes import Exit, exit_code

if TYPE_CHECKING:
    from koel_tui.storage.files.file_codec import Codec
    from koel_tui.storage.index_check import IndexComparison
    from koel_tui.storage.integrity_check import OtherFiles, ThreadScan

OnProgress = Callable[[str], None]
"""A callback that is called with the progress."""

_UNENCRYPTED = ("kv/*", "tabs-*.json*", "history.jsonl")


@dataclass(frozen=True, slots=True)
class Access:
    """The codec of the threads; None if there are no threads, or no key.

    `locked` is the reason why no key was given, `error` the problem of the key, `code` its exit
    code.
    """

    codec: "Codec | None" = None
    encrypted: bool = False
    locked: str = ""
    error: str = ""
    code: Exit = Exit.OK


@dataclass(frozen=True, slots=True)
class Threads:
    """The state of the directory of threads. None means not checked.

    `error` is the reason why nothing could be read, `index_error` the problem of the index,
    `unencrypted` the files with unencrypted data of encrypted threads.
    """

    directory: Path
    access: Access
    error: str = ""
    code: Exit = Exit.OK
    readable: "ThreadScan | None" = None
    kept: "OtherFiles | None" = None
    recovery_files: int = 0
    agreement: "IndexComparison | None" = None
    index_error: str = ""
    index_in_use: bool = False
    unencrypted: tuple[Path, ...] = ()


def get_access() -> Access:
    """Return the access to the threads; on a terminal it may prompt for the passphrase."""
    from koel_tui.storage import NoKeyError, StorageError
    from koel_tui.storage.files.file_codec import UnencryptedCodec

    directory = paths.threads_dir()
    if not directory.is_dir():
        return Access()
    if not is_encrypted():
        return Access(UnencryptedCodec(directory))
    import click

    try:
        return Access(_unlock_codec(directory), encrypted=True)
    except (NoKeyError, click.Abort) as error:
        return Access(encrypted=True, locked=str(error) or "no passphrase was given")
    except StorageError as error:
        return Access(encrypted=True, error=str(error), code=exit_code(error))


def _unlock_codec(directory: Path) -> "Codec":
    from koel_tui.cli.unlock import unlock
    from koel_tui.storage.encryption.encrypted_codec import EncryptedCodec

    codec = EncryptedCodec(directory, unlock(directory))
    codec.check_directory()
    return codec


def inspect(access: Access, on_progress: OnProgress) -> Threads:
    """Read all threads and inspect the other files in their directory; nothing is changed.

    `on_progress` is called with the progress.
    """
    from koel_tui.storage import StorageError
    from koel_tui.storage.integrity_check import count_other_files, scan_threads

    directory, readable, kept = paths.threads_dir(), None, None
    error, code = access.error, access.code
    try:
        if directory.is_dir():
            kept = count_other_files(directory, _suffix(access))
        if access.codec is not None:
            readable = scan_threads(
                directory,
                access.codec,
                lambda done, of: on_progress(f"reading thread {done} of {of}"),
            )
    except (StorageError, OSError) as found:
        error = str(found)
        code = exit_code(found) if isinstance(found, StorageError) else Exit.SAVE_FAILED
    threads = Threads(directory, access, error, code, readable, kept, _count_recovery_files())
    index = index_path(directory)
    if access.encrypted:
        return replace(threads, unencrypted=_find_unencrypted(index))
    return threads if readable is None else _compare_index(threads, index, readable)


def _suffix(access: Access) -> str:
    from koel_tui.storage.encryption.encrypted_codec import ENCRYPTED_SUFFIX
    from koel_tui.storage.files.file_codec import UnencryptedCodec

    return ENCRYPTED_SUFFIX if access.encrypted else UnencryptedCodec.suffix


def index_path(directory: Path) -> Path:
    """Return the path of the search index of the threads, which may not exist."""
    from koel_tui.storage.search.thread_index import index_file

    return index_file(paths.cache_dir(), directory)


def _find_unencrypted(index: Path) -> tuple[Path, ...]:
    found = [index] if index.exists() else []
    for folder in (paths.cache_dir(), paths.state_dir()):
        found += [path for pattern in _UNENCRYPTED for path in folder.glob(pattern)]
    return tuple(found)


def _compare_index(threads: Threads, index: Path, readable: "ThreadScan") -> Threads:
    from koel_tui.storage.index_check import UnreadableIndexError, compare_index, is_in_use

    if is_in_use(index):
        return replace(threads, index_in_use=True)
    if not index.exists():
        return threads
    try:
        return replace(threads, agreement=compare_index(index, readable))
    except UnreadableIndexError as error:
        return replace(threads, index_error=str(error))


def _count_recovery_files() -> int:
    """Return the number of files in the recovery directories of data and state."""
    folders = {each / "recovery" for each in (paths.data_dir(), paths.state_dir())}
    return sum(len(list(folder.iterdir())) for folder in folders if folder.is_dir())


def evaluate(threads: Threads) -> tuple[Finding, ...]:
    """Return the findings about the saved threads."""
    if threads.kept is None and not threads.error:
        return (Finding("threads", f"none yet in {threads.directory}"), *_recovery(threads))
    if threads.error:
        advice = "Put that right, then run this again. Nothing was changed."
        found = problem("threads", threads.error, advice, threads.code)
        return (found, *_recovery(threads))
    return (
        *_read(threads),
        *_encryption(threads),
        *_index(threads),
        *_other_files(threads),
        *_recovery(threads),
    )


def _read(threads: Threads) -> tuple[Finding, ...]:
    readable = threads.readable
    if readable is None:
        advice = "Run this in a terminal, or set KOEL_PASSPHRASE_FILE."
        return (warning("threads", f"encrypted, not read: {threads.access.locked}", advice),)
    count = len(readable.intact)
    findings = [Finding("threads", f"{count} can be read to the end")]
    if readable.damaged:
        advice = "They stay as they are; `koel-chat threads list` says why. Bring back copies."
        found = f"{len(readable.damaged)} cannot be read: {format_names(readable.damaged)}"
        findings.append(problem("damaged", found, advice, Exit.SAVE_FAILED))
    if readable.newer:
        found = f"{len(readable.newer)} saved by a newer koel-chat, read-only here"
        findings.append(warning("newer", found, "Update koel-chat to write there."))
    return tuple(findings)


def _encryption(threads: Threads) -> tuple[Finding, ...]:
    if not threads.access.encrypted:
        return (Finding("encryption", "none: who reads your files reads your threads"),)
    key = Finding("encryption", "AES-256-GCM; the key file is whole. Keep a copy of it")
    if not threads.unencrypted:
        return (key,)
    names = format_names(map(str, threads.unencrypted))
    found = f"{len(threads.unencrypted)} files in cache or state: {names}"
    advice = "They may be from before the encryption. Remove them."
    return key, problem("unencrypted", found, advice, Exit.SAVE_FAILED)


def _index(threads: Threads) -> tuple[Finding, ...]:
    name, agreement = "search index", threads.agreement
    if threads.access.encrypted:
        return (Finding(name, "in memory alone, as the threads are encrypted"),)
    if threads.index_in_use:
        return (Finding(name, "in use or not closed: not compared with the threads"),)
    if threads.index_error:
        advice = "It is made anew at the next search."
        return (warning(name, f"cannot be used: {threads.index_error}", advice),)
    if agreement is None:
        return (Finding(name, "none yet, made when it is needed"),)
    if agreement.incorrect:
        advice = "Remove it, it is made again: search-*.sqlite in the cache directory."
        found = f"says something else than {agreement.incorrect} of the threads"
        return (problem(name, found, advice, Exit.SAVE_FAILED),)
    if agreement.outdated or agreement.stale:
        found = f"{agreement.outdated} threads changed since, {agreement.stale} are gone"
        return (Finding(name, f"{found}: it catches up when it is used"),)
    return (Finding(name, f"agrees with all {agreement.up_to_date} threads"),)


def _other_files(threads: Threads) -> tuple[Finding, ...]:
    kept = threads.kept
    if kept is None:
        return ()
    findings = [
        Finding("in the trash", f"{kept.trashed}"),
        Finding("locks", f"{kept.held_locks} held now, {kept.locks} lock files"),
    ]
    for name, count, what, advice in (
        ("quarantine", kept.quarantined, "copies of damaged files", "Remove what you don't need."),
        ("conflicts", kept.conflicts, "files of threads changed in two places",
         "Take them in as threads of their own: koel-chat threads import FILE"),
        ("left over", kept.temporaries, "files of saves that were cut off",
         "The next start removes them; the threads are whole without them."),
        ("links", kept.foreign, "links or folders with names of threads",
         "They are never followed. Move them away."),
    ):  # fmt: skip
        findings.append(warning(name, f"{count} {what}", advice) if count else Finding(name, "0"))
    if kept.backups:
        findings.append(Finding("older copies", f"{kept.backups} of threads before an update"))
    return tuple(findings)


def _recovery(threads: Threads) -> tuple[Finding, ...]:
    if not threads.recovery_files:
        return (Finding("recovery", "0"),)
    found = f"{threads.recovery_files} texts that could not be saved in their place"
    return (warning("recovery", found, "koel-chat threads import FILE, then remove them."),)
