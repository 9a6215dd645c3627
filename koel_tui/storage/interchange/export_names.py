"""File names for exports, made from untrusted titles."""

import re
import unicodedata

from koel_tui.text import repair

_MAX_NAME_BYTES = 120  # bytes; file systems allow 255, and a suffix and a temporary name are added
_UNSAFE = re.compile(r"[^\w .,()+=@-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)( *\..*)?", re.IGNORECASE)


def file_name(title: str, suffix: str) -> str:
    """Return a safe file name for a thread: not a path, a hidden file or a command-line option."""
    text = unicodedata.normalize("NFC", repair(title))
    name = " ".join(_UNSAFE.sub(" ", text).split())
    name = name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(" .-")
    if device := _RESERVED.fullmatch(name):  # Windows reserves these names with any suffix, too
        name = f"{device[1]}_{device[2] or ''}"
    return f"{name or 'thread'}{suffix}"
