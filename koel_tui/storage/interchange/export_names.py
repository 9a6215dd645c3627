"""Names for exported files, made of titles that anybody may have written."""

import re
import unicodedata

from koel_tui.text import repair

_LONGEST = 120  # bytes; file systems allow 255, and an ending and a temporary name go around it
_KEPT = re.compile(r"[^\w .,()+=@-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)( *\..*)?", re.IGNORECASE)


def file_name(title: str, suffix: str) -> str:
    """Return a harmless name for the file of a thread: no path, no hidden file, no option."""
    text = unicodedata.normalize("NFC", repair(title))
    name = " ".join(_KEPT.sub(" ", text).split())
    name = name.encode()[:_LONGEST].decode(errors="ignore").strip(" .-")
    if device := _RESERVED.fullmatch(name):  # which it is with any ending, too
        name = f"{device[1]}_{device[2] or ''}"
    return f"{name or 'thread'}{suffix}"
