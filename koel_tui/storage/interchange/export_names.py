"""File names for exports, made from untrusted titles."""

import re
import sys
import unicodedata

from koel_tui.text import drop_format_characters, repair

_MAX_NAME_BYTES = 120  # bytes; file systems allow 255, and a suffix and a temporary name are added
_UNSAFE = re.compile(r"[^\w .,()+=@-]")
_JOINERS = "\u200c\u200d"
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)( *\..*)?", re.IGNORECASE)


def file_name(title: str, suffix: str) -> str:
    """Return a safe file name for a thread: not a path, a hidden file or a command-line option."""
    text = unicodedata.normalize("NFC", repair(title))
    # In a locale with another encoding than UTF-8, file names cannot have every character. The
    # question mark that replaces one is not safe, so it becomes a space.
    encoding = sys.getfilesystemencoding()
    text = text.encode(encoding, "replace").decode(encoding)
    name = " ".join(_UNSAFE.sub(_replace_unsafe, text).split())
    name = name.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").strip(" .-")
    name = drop_format_characters(name)
    if device := _RESERVED.fullmatch(name):  # Windows reserves these names with any suffix, too
        name = f"{device[1]}_{device[2] or ''}"
    return f"{name or 'thread'}{suffix}"


def _replace_unsafe(found: "re.Match[str]") -> str:
    """Keep a vowel sign and a joiner, which are a part of a word; replace all else by a space."""
    before = found.string[found.start() - 1 : found.start()]
    is_part = unicodedata.category(found[0]) in ("Mn", "Mc") or found[0] in _JOINERS
    follows_letter = before.isalnum() or (before and unicodedata.category(before)[0] == "M")
    return found[0] if is_part and follows_letter else " "
