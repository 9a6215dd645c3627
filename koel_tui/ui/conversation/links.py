"""The links of an answer, and the rules for which may be opened. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from markdown_it.token import Token

from koel_tui.text import drop_controls
from koel_tui.ui.transcript import markdown_parser

MAX_LENGTH = 4096
"""Maximum length of a URL in characters, so that it can be shown in full."""

_SCHEMES = ("http", "https")
_MAX_DEPTH = 8
"""Maximum number of percent-encoding layers; legitimate URLs never have more."""
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[^\W_](?:[\w.-]*\w)?\.?")


class UnsafeLinkError(Exception):
    """The link must not be opened; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that may be opened, split at the host to highlight it."""

    before: str
    """The scheme and the user name, if any."""
    host: str
    after: str
    """The port, the path and the rest."""

    @property
    def url(self) -> str:
        """The complete URL, as it is opened."""
        return self.before + self.host + self.after


@dataclass(frozen=True, slots=True)
class MarkdownLink:
    """A link in an answer: its text and its URL."""

    text: str
    href: str


def validate_url(href: str) -> Link:
    """Parse and validate a URL. Raises `UnsafeLinkError` if it must not be opened.

    The browser may decode the URL several times, so it must be safe at every level of decoding.
    """
    if len(href) > MAX_LENGTH:
        raise UnsafeLinkError(f"it is longer than {MAX_LENGTH} characters")
    if not href.isprintable() or " " in href:
        raise UnsafeLinkError("it contains spaces or invisible characters")
    parts = _parse_url(href)
    decoded = href
    for _ in range(_MAX_DEPTH):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            break
        again = _parse_url(decoded)
        if (again.scheme, again.netloc) != (parts.scheme, parts.netloc):
            raise UnsafeLinkError("it leads elsewhere after decoding")
    else:
        raise UnsafeLinkError(f"it is encoded more than {_MAX_DEPTH} times")
    return _split_at_host(href, parts)


def _parse_url(href: str) -> SplitResult:
    """Split a URL; raises `UnsafeLinkError` if it is unsafe without decoding."""
    if drop_controls(href) != href:
        raise UnsafeLinkError("it contains control characters")
    try:
        parts = urlsplit(href)
        port = parts.port
    except ValueError as error:
        raise UnsafeLinkError(f"it is not a valid URL: {error}") from error
    if parts.scheme not in _SCHEMES or href[len(parts.scheme) :][:3] != "://":
        raise UnsafeLinkError("only http and https are opened")
    if "\\" in href.partition("?")[0]:
        raise UnsafeLinkError("it contains a backslash, which programs interpret differently")
    if not parts.hostname:
        raise UnsafeLinkError("it has no host")
    host = _extract_host(parts.netloc)
    if not _HOST.fullmatch(host) or port == 0:
        raise UnsafeLinkError("its host name is invalid")
    return parts


def _extract_host(netloc: str) -> str:
    return re.sub(r":\d*\Z", "", netloc.rpartition("@")[2])


def _split_at_host(href: str, parts: SplitResult) -> Link:
    begin = len(parts.scheme) + len("://") + parts.netloc.rfind("@") + 1
    end = begin + len(_extract_host(parts.netloc))
    return Link(href[:begin], href[begin:end], href[end:])


def find_links(text: str) -> list[MarkdownLink]:
    """Return the links and image sources of a Markdown text, without duplicate URLs."""
    found: dict[str, MarkdownLink] = {}
    for token in markdown_parser.create_parser().parse(text):
        for link in _links_in(token.children or ()):
            found.setdefault(link.href, link)
    return list(found.values())


def original_url(text: str, unquoted: str) -> str:
    """Return the URL in a Markdown text whose decoded form is `unquoted`.

    Textual reports a clicked URL in decoded form, which may differ from the original.
    """
    return next((m.href for m in find_links(text) if unquote(m.href) == unquoted), unquoted)


def _links_in(tokens: Sequence[Token]) -> list[MarkdownLink]:
    found: list[MarkdownLink] = []
    href, text = "", ""
    for token in tokens:
        if token.type == "link_open":
            href, text = str(token.attrs.get("href", "")), ""
        elif token.type == "link_close":
            found.append(MarkdownLink(text, href))
        elif token.type == "image":
            found.append(MarkdownLink(token.content, str(token.attrs.get("src", ""))))
        text += token.content
    return found
