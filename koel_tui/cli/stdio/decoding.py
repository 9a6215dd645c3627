"""Decoding of piped bytes: the encoding is detected, and data that is not text is refused."""

import codecs
import re
from dataclasses import dataclass

from koel_tui.cli.exit_codes import UsageProblem

_BYTE_ORDER_MARKS = (  # UTF-32 first: the mark of UTF-16-LE is the beginning of that of UTF-32-LE
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_READABLE_FORMATS = (
    (re.compile(rb"%PDF-\d\.\d"), "a PDF document", "pdftotext FILE -"),
    (re.compile(rb"\{\\rtf\d*\\"), "a rich text document", "pandoc FILE -t plain"),
)
"""Formats that are refused although their bytes are readable, and a command for their text."""
_BINARY_FORMATS = (
    (b"PK\x03\x04", "a zip file or an office document", "pandoc FILE -t plain"),
    (b"\xd0\xcf\x11\xe0", "an old office document", "catdoc FILE"),
    (b"\x1f\x8b", "gzip data", "gzip -dc FILE"),
    (b"\x28\xb5\x2f\xfd", "zstd data", "zstd -dc FILE"),
    (b"\xfd7zXZ", "xz data", "xz -dc FILE"),
    (b"BZh", "bzip2 data", "bzip2 -dc FILE"),
    (b"SQLite format 3", "an SQLite database", "sqlite3 FILE .dump"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"RIFF", "an image or a recording", ""),
    (b"\x7fELF", "a program", ""),
    (b"GGUF", "a model file", ""),
)
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257
_NULS = re.compile("\0+")
_SAMPLE = 1 << 16
_CONTROLS = re.compile(r"[\x01-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")
"""Control characters that text does not have. Terminal recordings have escape and backspace."""
_CONTROL_BYTES = re.compile(rb"[\x01-\x07\x0e-\x1a\x1c-\x1f]")
_MANY_NULS = 0.7
"""If more than this share of the odd or even bytes is NUL, the text is UTF-16."""
_FEW_CONTROLS = 0.02
_MAX_CONTROLS = 0.1
_MAX_NULS = 0.5
_MAX_UNREADABLE = 0.3
"""The largest accepted share of undecodable characters; short texts may have a few more."""
_FEW_UNREADABLE = 8
"""Undecodable characters accepted in a text of any length, for example a word in Latin-1."""
_UTF8 = "UTF-8"
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class PipedText:
    """Decoded text, the name of its encoding, and the number of undecodable characters."""

    text: str
    encoding: str = _UTF8
    replaced: int = 0


def decode_text(data: bytes, locale_encoding: str) -> PipedText:
    """Return the text of `data`; line ends and runs of NUL bytes become newlines.

    The encoding is that of the byte order mark, or UTF-16 if the bytes show it, or UTF-8, or else
    that of the locale. Undecodable bytes become U+FFFD. Raises `UsageProblem` for data that is not
    text.
    """
    _refuse_known_format(data)
    found = _decode(data, locale_encoding)
    if _is_binary(found.text):
        raise UsageProblem("stdin is binary data, not text. Pipe a text instead.")
    is_readable = bool(found.text.replace(_REPLACEMENT, "").strip()) or not found.replaced
    if not is_readable or found.replaced > max(_FEW_UNREADABLE, _MAX_UNREADABLE * len(found.text)):
        raise UsageProblem(
            f"the piped text is not {found.encoding}: {found.replaced:,} of its "
            f"{len(found.text):,} characters cannot be read. Convert it first, for example with: "
            "iconv -f latin1 -t utf-8"
        )
    text = _NULS.sub("\n", found.text.replace("\r\n", "\n").replace("\r", "\n"))
    return PipedText(text, found.encoding, found.replaced)


def _decode(data: bytes, locale_encoding: str) -> PipedText:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _decode_lossy(data[len(mark) :], encoding)
    if encoding := _utf16_without_mark(data[:_SAMPLE]):
        return _decode_lossy(data, encoding)
    try:
        return PipedText(data.decode())
    except UnicodeDecodeError:
        return _decode_lossy(data, _other_encoding(locale_encoding) or "utf-8")


def _decode_lossy(data: bytes, encoding: str) -> PipedText:
    """Decode and count the replacements; U+FFFD that is in the input is not counted."""
    text = data.decode(encoding, "replace")
    encoded = _REPLACEMENT.encode(encoding, "ignore")
    replaced = text.count(_REPLACEMENT) - (data.count(encoded) if encoded else 0)
    return PipedText(text, encoding.upper(), max(0, replaced))


def _other_encoding(name: str) -> str:
    """Return the locale's encoding; '' if it is UTF-8, ASCII or unknown."""
    try:
        return "" if codecs.lookup(name).name in ("ascii", "utf-8") else name
    except LookupError:
        return ""


def _utf16_without_mark(sample: bytes) -> str:
    """Return the UTF-16 encoding of bytes without a byte order mark; '' if they are not UTF-16.

    Latin letters have a NUL byte each. In other scripts only spaces and line ends have one, and
    the bytes of the letters are often control characters.
    """
    pairs = len(sample) // 2
    has_controls = len(_CONTROL_BYTES.findall(sample)) > _FEW_CONTROLS * len(sample)
    for encoding, high_byte_offset in (("utf-16-le", 1), ("utf-16-be", 0)):
        nuls = sample[high_byte_offset : 2 * pairs : 2].count(0)
        if not nuls or sample[1 - high_byte_offset : 2 * pairs : 2].count(0):
            continue
        if nuls > _MANY_NULS * pairs or (
            has_controls and _is_utf16_text(sample[: 2 * pairs], encoding)
        ):
            return encoding
    return ""


def _is_utf16_text(sample: bytes, encoding: str) -> bool:
    """Return whether a sample, which may end in the middle of a character, is text."""
    text = sample.decode(encoding, "replace")
    return text.count(_REPLACEMENT) <= 1 and not _is_binary(text)


def _is_binary(text: str) -> bool:
    """Return whether a text exceeds the limits of control, NUL and replacement characters."""
    sample = text[:_SAMPLE]
    size, controls, nuls = len(sample), len(_CONTROLS.findall(sample)), sample.count("\0")
    is_unreadable = sample.count(_REPLACEMENT) > _MAX_CONTROLS * size
    return (
        controls > _MAX_CONTROLS * size
        or nuls > _MAX_NULS * size
        or (is_unreadable and controls + nuls > _FEW_CONTROLS * size)
    )


def _refuse_known_format(data: bytes) -> None:
    """Raise `UsageProblem` if the first bytes are those of a format that is not text."""
    formats = [rest for pattern, *rest in _READABLE_FORMATS if pattern.match(data)]
    sample = data[:_SAMPLE]
    if b"\0" in sample or _CONTROL_BYTES.search(sample):
        formats += [rest for begin, *rest in _BINARY_FORMATS if data.startswith(begin)]
    if data.startswith(_TAR_MARK, _TAR_MARK_AT):
        raise UsageProblem("stdin is a tar archive, not text. Pipe its text instead: tar -xOf FILE")
    for name, command in formats:
        remedy = f"Pipe its text instead: {command}" if command else "Pipe a text instead."
        raise UsageProblem(f"stdin is {name}, not text. {remedy}")
