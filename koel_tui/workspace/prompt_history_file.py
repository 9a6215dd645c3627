"""The prompt history file: one prompt per line, shared by all app instances of a user."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from koel_tui.conversation.drafts import Draft, parse_draft
from koel_tui.system.file_lock import FileLock
from koel_tui.system.regular_files import open_regular

MAX_ENTRIES = 1000
MAX_BYTES = 1_000_000
_MAX_READ = 2 * MAX_BYTES
"""If other programs made the file longer, only its end is read, which is the newest part."""
_MAX_ENTRY = MAX_BYTES // 8
"""A longer prompt is kept only until the app exits: one paste must not evict the other entries."""


class PromptHistoryFile:
    """The prompt history on disk. Every call blocks, and may raise `OSError`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> list[Draft]:
        """Return the sent prompts, oldest first; damaged lines are skipped."""
        return list(_parse_lines(self._read_lines()))[-MAX_ENTRIES:]

    def append(self, draft: Draft) -> None:
        """Append a prompt, and drop the oldest half if the file is too long."""
        line = _encode(draft)
        if len(line) > _MAX_ENTRY:
            return
        # A separate lock file, because a rewrite replaces the history file. Without locks on the
        # file system, a line may be lost, which is acceptable.
        with FileLock(self._path.with_suffix(".lock")).hold(timeout_s=None):
            lines = self._read_lines()
            size = sum(map(len, lines)) + len(lines) + len(line)
            if len(lines) >= MAX_ENTRIES or size > MAX_BYTES:
                self._rewrite([*_newest_half(lines), line])
            else:
                self._append_line(line, is_after_partial_line=bool(lines) and bool(lines[-1]))

    def _read_lines(self) -> list[bytes]:
        """Return the newest lines; the last one is empty unless a write was interrupted."""
        try:
            with open_regular(self._path) as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _MAX_READ))
                return file.read(_MAX_READ).split(b"\n")
        except FileNotFoundError:
            return []

    def _append_line(self, line: bytes, *, is_after_partial_line: bool) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            os.write(descriptor, b"\n" * is_after_partial_line + line + b"\n")
        finally:
            os.close(descriptor)

    def _rewrite(self, lines: list[bytes]) -> None:
        from koel_tui.system.atomic_write import write_atomically

        write_atomically(self._path, b"\n".join(lines) + b"\n")


def _encode(draft: Draft) -> bytes:
    # JSON escapes everything that is not ASCII, so lone surrogates survive.
    return json.dumps(draft.to_json()).encode("ascii")


def _newest_half(lines: list[bytes]) -> list[bytes]:
    """Return the newest lines, at most half of what the file may have in number and size."""
    newest: list[bytes] = []
    budget = MAX_BYTES // 2
    for line in reversed(lines[-(MAX_ENTRIES // 2) :]):
        budget -= len(line) + 1
        if budget < 0:
            break
        if line:
            newest.append(line)
    return newest[::-1]


def _parse_lines(lines: list[bytes]) -> Iterator[Draft]:
    for line in lines:
        try:
            yield parse_draft(json.loads(line))
        except (ValueError, RecursionError):
            continue
