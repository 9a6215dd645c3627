"""Text files attached to a prompt: detected in a paste, read, measured, formatted. No widgets."""

import asyncio
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from koel_tui.formatting import format_bytes, format_tokens, truncate
from koel_tui.system.regular_files import NotRegularFileError, expand_user, open_regular
from koel_tui.text import safe_line, safe_text

MAX_BYTES = 1_000_000
"""Larger files are rejected without reading them in full; no context has room for them."""
_CHARACTERS_PER_TOKEN = 4
_MAX_DROP = 4096
_PATH_PREFIXES = ("/", "~/", "file:", "'", '"')
_NAME_CELLS = 28
_NAME_CHARACTERS = 40
"""Character limit in addition to the cell limit, because combining marks have no width."""


class AttachmentError(Exception):
    """A file cannot be attached; the message says why and what to do."""


class TokenCounter(Protocol):
    """Source of token counts and of the size of the model's context."""

    @property
    def context_tokens(self) -> int:
        """The context size in tokens; 0 while unknown."""
        ...

    async def count_tokens(self, text: str) -> int | None:
        """Return the number of tokens of `text`; None if it cannot be counted now."""
        ...


@dataclass(frozen=True, slots=True)
class Attachment:
    """The text of a file when it was read; `tokens` is an estimate unless `counted`."""

    name: str
    text: str
    tokens: int
    counted: bool

    @property
    def label(self) -> str:
        """The text of its placeholder in the prompt."""
        name = self.name.rpartition("/")[2].replace("[", "(").replace("]", ")")
        number = format_tokens(self.tokens) if self.counted else f"~{format_tokens(self.tokens)}"
        name = truncate(name[:_NAME_CHARACTERS], _NAME_CELLS)
        return f"{name} · {number} token{'' if self.tokens == 1 else 's'}"

    @property
    def prompt_text(self) -> str:
        """The text for the model: the name, and the content in a code fence."""
        return prompt_text(self.name, self.text)


def prompt_text(name: str, text: str) -> str:
    """Return a file's name and its text in a code fence longer than its runs of backticks."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") else "\n"
    return f"{name}:\n{fence}\n{text}{end}{fence}\n"


def sanitize_name(name: str) -> str:
    """Return the name of a file, sanitized and on one line."""
    return safe_text(safe_line(name)) or "(no name)"


async def load_attachment(path: Path, name: str, counter: TokenCounter) -> Attachment:
    """Read a file and count its tokens. Raises `AttachmentError`."""
    name = sanitize_name(name)
    text = await asyncio.to_thread(read_text, path, name)
    whole = prompt_text(name, text)
    tokens = await counter.count_tokens(whole)
    counted = tokens is not None
    if tokens is None:
        tokens = -(-len(whole) // _CHARACTERS_PER_TOKEN)
    if counter.context_tokens and tokens >= counter.context_tokens:
        about = "" if counted else "about "
        raise AttachmentError(
            f"{name} is too large: it has {about}{tokens:,} tokens, and the model's context "
            f"is {counter.context_tokens:,}. Attach a part of it, or start with a larger "
            "--context-tokens."
        )
    return Attachment(name, text, tokens, counted)


def read_text(path: Path, name: str) -> str:
    """Return the text of a file with LF line ends.

    Raises `AttachmentError`, whose message contains `name`.
    """
    try:
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_BYTES + 1)
    except NotRegularFileError as error:
        raise AttachmentError(f"{name} is not a file. Choose a text file.") from error
    except (OSError, ValueError) as error:  # `ValueError`: the path contains a null byte
        why = getattr(error, "strerror", None) or error
        raise AttachmentError(f"{name} cannot be read: {why}. Choose another file.") from error
    if len(data) > MAX_BYTES:
        raise AttachmentError(
            f"{name} is too large: it has {format_bytes(max(status.st_size, len(data)))}, and "
            f"{format_bytes(MAX_BYTES)} is the maximum. Attach a part of it."
        )
    if not data:
        raise AttachmentError(f"{name} is empty: there is nothing to attach.")
    if b"\0" in data:
        raise AttachmentError(f"{name} is not a text file: it contains NUL bytes. Choose another.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AttachmentError(
            f"{name} is not UTF-8 text. Convert it (iconv -t UTF-8) or choose another."
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def dropped_files(text: str) -> tuple[Path, ...]:
    """Return the files named in a pasted text if it consists only of their absolute paths.

    Terminals insert such text when files are dropped on them: bare, quoted, with backslashes, or as
    URLs. Accesses the disk.
    """
    for candidate in _path_candidates(text):
        paths = tuple(_path(word) for word in candidate)
        # A path that is too long or invalid here is not a file.
        with suppress(OSError, ValueError):
            if paths and all(path is not None and path.is_file() for path in paths):
                return tuple(path for path in paths if path is not None)
    return ()


def may_be_dropped(text: str) -> bool:
    """Return whether a pasted text begins like a file path."""
    return len(text) <= _MAX_DROP and text.lstrip().startswith(_PATH_PREFIXES)


def _path_candidates(text: str) -> Iterator[list[str]]:
    """Yield possible lists of paths in a text: its lines, then its words in shell syntax."""
    if not may_be_dropped(text):
        return
    yield [line.strip() for line in text.splitlines() if line.strip()]
    with suppress(ValueError):  # unclosed quote
        yield shlex.split(text)


def _path(word: str) -> Path | None:
    if word.startswith("file:"):
        with suppress(ValueError):
            word = unquote(urlsplit(word).path)
    elif word.startswith("~/"):
        word = str(expand_user(Path(word)))
    return Path(word) if word.startswith("/") else None
