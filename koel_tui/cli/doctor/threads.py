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
class ThreadAccess:
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
    access: ThreadAccess
    error: str = ""
    code: Exit = Exit.OK
    scan: "ThreadScan | None" = None
    other_files: "OtherFiles | None" = None
    recovery_files: int = 0
    comparison: "IndexComparison | None" = None
    index_error: str = ""
    index_in_use: bool = False
    unencrypted: tuple[Path, ...] = ()


def get_access() -> ThreadAccess:
    """Return the access to the threads; on a terminal it may prompt for the passphrase."""
    from koel_tui.storage import NoKeyError, StorageError
    from koel_tui.storage.files.file_codec import UnencryptedCodec

    directory = paths.threads_dir()
    if not directory.is_dir():
        return ThreadAccess()
    if not is_encrypted():
        return ThreadAccess(UnencryptedCodec(directory))
    import click

    try:
        return ThreadAccess(_unlock_codec(directory), encrypted=True)
    except (NoKeyError, click.Abort) as error:
        return ThreadAccess(encrypted=True, locked=str(error) or "no passphrase was given")
    except StorageError as error:
        return ThreadAccess(encrypted=True, error=str(error), code=exit_code(error))


def _unlock_codec(directory: Path) -> "Codec":
    from koel_tui.cli.unlock import unlock
    from koel_tui.storage.encryption.encrypted_codec import EncryptedCodec

    codec = EncryptedCodec(directory, unlock(directory))
    codec.check_directory()
    return codec


def inspect(access: ThreadAccess, on_progress: OnProgress) -> Threads:
    """Read all threads and inspect the other files in their directory; nothing is changed.

    `on_progress` is called with the progress.
    """
    from koel_tui.storage import StorageError
    from koel_tui.storage.integrity_check import count_other_files, scan_threads

    directory, scan, other_files = paths.threads_dir(), None, None
    error, code = access.error, access.code
    try:
        if directory.is_dir():
            other_files = count_other_files(directory, _suffix(access))
        if access.codec is not None:
            scan = scan_threads(
                directory,
                access.codec,
                lambda done, of: on_progress(f"reading thread {done} of {of}"),
            )
    except (StorageError, OSError) as found:
        error = str(found)
        code = exit_code(found) if isinstance(found, StorageError) else Exit.SAVE_FAILED
    threads = Threads(directory, access, error, code, scan, other_files, _count_recovery_files())
    index = index_path(directory)
    if access.encrypted:
        return replace(threads, unencrypted=_find_unencrypted(index))
    return threads if scan is None else _compare_index(threads, index, scan)


def _suffix(access: ThreadAccess) -> str:
    from koel_tui.storage.files.file_codec import UnencryptedCodec
    from koel_tui.storage.files.file_names import ENCRYPTED_SUFFIX

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


def _compare_index(threads: Threads, index: Path, scan: "ThreadScan") -> Threads:
    from koel_tui.storage.index_check import UnreadableIndexError, compare_index, is_in_use

    if is_in_use(index):
        return replace(threads, index_in_use=True)
    if not index.exists():
        return threads
    try:
        return replace(threads, comparison=compare_index(index, scan))
    except UnreadableIndexError as error:
        return replace(threads, index_error=str(error))


def _count_recovery_files() -> int:
    """Return the number of files in all recovery directories."""
    folders = {each for each in paths.recovery_dirs() if each.is_dir()}
    return sum(len(list(folder.iterdir())) for folder in folders)


def evaluate(threads: Threads) -> tuple[Finding, ...]:
    """Return the findings about the saved threads."""
    if threads.other_files is None and not threads.error:
        return (Finding("threads", f"none yet in {threads.directory}"), *_recovery(threads))
    if threads.error:
        advice = "Correct that, then run this again. Nothing was changed."
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
    scan = threads.scan
    if scan is None:
        advice = "Run this in a terminal, or set KOEL_PASSPHRASE_FILE."
        return (warning("threads", f"encrypted, not read: {threads.access.locked}", advice),)
    count = len(scan.intact)
    findings = [Finding("threads", f"{count} readable")]
    if scan.damaged:
        advice = "`koel-chat threads list` prints the causes. Restore the files from a backup."
        found = f"{len(scan.damaged)} cannot be read: {format_names(scan.damaged)}"
        findings.append(problem("damaged", found, advice, Exit.SAVE_FAILED))
    if scan.newer:
        found = f"{len(scan.newer)} saved by a newer koel-chat, read-only here"
        findings.append(warning("newer", found, "Update koel-chat to change them."))
    return tuple(findings)


def _encryption(threads: Threads) -> tuple[Finding, ...]:
    if not threads.access.encrypted:
        return (
            Finding("encryption", "none: anyone who can read your files can read your threads"),
        )
    key = Finding("encryption", "AES-256-GCM; the key file is valid. Keep a copy of it")
    if not threads.unencrypted:
        return (key,)
    names = format_names(map(str, threads.unencrypted))
    found = f"{len(threads.unencrypted)} files in cache or state: {names}"
    advice = "They may be from before the encryption. Remove them."
    return key, problem("unencrypted", found, advice, Exit.SAVE_FAILED)


def _index(threads: Threads) -> tuple[Finding, ...]:
    name, comparison = "search index", threads.comparison
    if threads.access.encrypted:
        return (Finding(name, "in memory only, because the threads are encrypted"),)
    if threads.index_in_use:
        return (Finding(name, "in use or not closed: not compared with the threads"),)
    if threads.index_error:
        advice = "The next search builds it again."
        return (warning(name, f"cannot be used: {threads.index_error}", advice),)
    if comparison is None:
        return (Finding(name, "none yet; it is built when it is needed"),)
    if comparison.incorrect:
        advice = "Remove search-*.sqlite in the cache directory. The index is built again."
        found = f"differs from {comparison.incorrect} threads"
        return (problem(name, found, advice, Exit.SAVE_FAILED),)
    if comparison.outdated or comparison.stale:
        found = f"{comparison.outdated} threads changed since, {comparison.stale} were deleted"
        return (Finding(name, f"{found}; the next search updates it"),)
    return (Finding(name, f"agrees with all {comparison.up_to_date} threads"),)


def _other_files(threads: Threads) -> tuple[Finding, ...]:
    other_files = threads.other_files
    if other_files is None:
        return ()
    findings = [
        Finding("in the trash", f"{other_files.trashed}"),
        Finding("locks", f"{other_files.held_locks} held now, {other_files.locks} lock files"),
    ]
    for name, count, what, advice in (
        ("quarantine", other_files.quarantined, "copies of damaged files",
         "Remove what you do not need."),
        ("conflicts", other_files.conflicts, "files of threads changed in two places",
         "Import them as separate threads: koel-chat threads import FILE"),
        ("left over", other_files.temporaries, "files of interrupted saves",
         "The next start removes them. The threads are complete without them."),
        ("links", other_files.foreign, "links or directories with names of threads",
         "They are never followed. Move them away."),
    ):  # fmt: skip
        findings.append(warning(name, f"{count} {what}", advice) if count else Finding(name, "0"))
    if other_files.backups:
        findings.append(
            Finding("older copies", f"{other_files.backups} of threads before an update")
        )
    return tuple(findings)


def _recovery(threads: Threads) -> tuple[Finding, ...]:
    if not threads.recovery_files:
        return (Finding("recovery", "0"),)
    found = f"{threads.recovery_files} files with text that could not be saved"
    return (warning("recovery", found, "Import each and remove it: koel-chat threads import FILE"),)
