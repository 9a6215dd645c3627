"""Encrypted reasoning: bytes that are kept for an agent and given back exactly as they came."""

import base64
import binascii

# What an agent sent that is not plain base64 is kept as its text behind this mark.
_TEXT = b"\xfftext:"


def echo_bytes(value: str) -> bytes:
    """Return an agent's encrypted value as bytes; `echo_text` gives back the same text."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _TEXT + value.encode()
    canonical = base64.b64encode(decoded).decode("ascii") == value
    return decoded if canonical and not decoded.startswith(_TEXT) else _TEXT + value.encode()


def echo_text(value: bytes) -> str:
    """Return the encrypted value that `value` stands for, as the agent sent it."""
    if value.startswith(_TEXT):
        return value.removeprefix(_TEXT).decode(errors="replace")
    return base64.b64encode(value).decode("ascii")
