"""In-place encryption and decryption of a thread directory."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from koel_tui.paths import private_directory
from koel_tui.storage.encryption.encrypted_codec import FileEncryptor
from koel_tui.storage.encryption.key_file import (
    WrappedKey,
    key_lock,
    new_key,
    read_key_file,
    wrap,
    write_key_file,
)
from koel_tui.storage.encryption.keys import KeySource
from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import FileEncoding, UnencryptedCodec
from koel_tui.storage.files.file_names import KEY_FILE, is_thread_file, parse_stem, parse_tag
from koel_tui.storage.files.journal import remove_journal, remove_orphans
from koel_tui.storage.files.thread_file import joined_text, read_thread
from koel_tui.storage.files.thread_locks import ThreadLocks
from koel_tui.system.atomic_write import flush_directory, remove_temporaries, write_atomically

_FOLDERS = (".", "trash", "quarantine")


def encrypt_threads(directory: Path | str, key: KeySource) -> int:
    """Encrypt every thread of a directory and its copies; return the number of files written.

    No storage writes to the directory until the conversion is complete. Each new file is written
    before the old one is removed, so an interruption loses nothing; call it again to continue.
    Raises `ThreadLockedError`, before anything is changed, if a thread is open; other
    `StorageError`.
    """
    path = Path(directory)
    with key_lock(path):
        wrapped = read_key_file(path)
        if wrapped is None:
            _check_not_locked(path, UnencryptedCodec.suffix)
            secret, name = new_key()
            wrapped = wrap(secret, name, key)
        elif wrapped.stage == "sealed":
            return 0
        else:
            secret = wrapped.unwrap(key)
        encryptor = FileEncryptor(secret, wrapped.name)
        write_key_file(path, replace(wrapped, stage="sealing"))
        count = _convert(path, UnencryptedCodec(path), encryptor)
        write_key_file(path, replace(wrapped, stage="sealed"))
        return count


def decrypt_threads(directory: Path | str, key: KeySource) -> int:
    """Decrypt every thread of a directory and its copies; return the number of files written.

    Files that cannot be decrypted are moved to `quarantine`, with the key file. Otherwise like
    `encrypt_threads`.
    """
    path = Path(directory)
    with key_lock(path):
        wrapped = read_key_file(path)
        if wrapped is None:
            return 0
        encryptor = FileEncryptor(wrapped.unwrap(key), wrapped.name)
        if wrapped.stage == "sealed":
            _check_not_locked(path, encryptor.suffix)
        write_key_file(path, replace(wrapped, stage="opening"))
        count = _convert(path, encryptor, UnencryptedCodec(path))
        _remove_key_file(path, wrapped, encryptor.suffix)
        return count


def _check_not_locked(directory: Path, suffix: str) -> None:
    locks = ThreadLocks(directory)
    for path in directory.iterdir():
        if is_thread_file(path.name, suffix):
            with locks.hold(parse_stem(path), parse_stem(path)):
                pass


def _convert(directory: Path, source: FileEncoding, target: FileEncoding) -> int:
    locks = ThreadLocks(directory)
    count = 0
    try:
        for folder in (directory / name for name in _FOLDERS):
            if folder.is_dir():
                remove_temporaries(folder)
                for path in _thread_files(folder, source.suffix):
                    with locks.hold(parse_stem(path), parse_stem(path)):
                        _convert_file(directory / "quarantine", path, source, target)
                    count += 1
                flush_directory(folder)
        remove_orphans(directory)  # of files whose conversion was interrupted
    except OSError as error:
        raise StorageError(
            f"The threads in {directory} are only partly converted: {error.strerror or error}. "
            "Nothing is lost; free some space or check the disk, then start again."
        ) from error
    return count


def _thread_files(folder: Path, suffix: str) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if is_thread_file(path.name, suffix) or parse_tag(path.name, suffix) is not None
        if path.is_file() and not path.is_symlink()
    ]


def _convert_file(quarantine: Path, path: Path, source: FileEncoding, target: FileEncoding) -> None:
    file = read_thread(path)
    if file is None:
        return
    data, status = file.data, file.status
    try:
        text = joined_text(source, path, file)
    except NotAThreadError:
        new, encoded = quarantine / _copy_name(parse_stem(path), path, data), data
    else:
        thread_id = _thread_id(text)
        if thread_id is not None and source.stem(thread_id) == parse_stem(path):
            tail = path.name.removeprefix(parse_stem(path)).removesuffix(path.suffix)
            new = path.with_name(f"{target.stem(thread_id)}{tail}{target.suffix}")
        else:
            name = _copy_name(target.stem(path.name), path, data)
            new = (quarantine / name).with_suffix(target.suffix)
        encoded = target.encode(parse_stem(new), text)
    if new != path:
        private_directory(new.parent)
        write_atomically(new, encoded)
        with suppress(OSError, OverflowError):  # not every file system accepts every time
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))
        path.unlink()
        remove_journal(path)


def _copy_name(stem: str, path: Path, data: bytes) -> str:
    """Return the quarantine name of an unreadable file."""
    tag = parse_tag(path.name, path.suffix) or hashlib.sha256(data).hexdigest()[:12]
    return f"{stem}.{tag}{path.suffix}"


def _thread_id(text: bytes) -> str | None:
    """Return the id in the JSON of a thread of any schema, None if it is damaged."""
    try:
        thread_id = json.loads(text)["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return thread_id if isinstance(thread_id, str) else None


def _remove_key_file(directory: Path, key: WrappedKey, suffix: str) -> None:
    quarantine = directory / "quarantine"
    try:
        if quarantine.is_dir() and _thread_files(quarantine, suffix):
            (directory / KEY_FILE).replace(quarantine / f"keys-{key.name}.json")
            flush_directory(quarantine)
        else:
            (directory / KEY_FILE).unlink()
        flush_directory(directory)
    except OSError as error:
        raise StorageError(
            f"The threads in {directory} are decrypted, but their key file was not removed: "
            f"{error.strerror or error}. Start again."
        ) from error
