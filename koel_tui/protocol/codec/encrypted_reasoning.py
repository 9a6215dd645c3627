"""Encrypted reasoning: bytes that are stored for an agent and returned unchanged."""

import base64
import binascii

# Prefix of values that are stored as text, because they are not canonical base64.
_TEXT = b"\xfftext:"


def decode_encrypted_value(value: str) -> bytes:
    """Return an agent's encrypted value as bytes; `encode_encrypted_value` restores it."""
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return _TEXT + value.encode()
    canonical = base64.b64encode(decoded).decode("ascii") == value
    return decoded if canonical and not decoded.startswith(_TEXT) else _TEXT + value.encode()


def encode_encrypted_value(value: bytes) -> str:
    """Return the text of an encrypted value, as the agent sent it."""
    if value.startswith(_TEXT):
        return value.removeprefix(_TEXT).decode(errors="replace")
    return base64.b64encode(value).decode("ascii")
