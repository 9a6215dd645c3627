"""Security check of HTTP redirects in model downloads."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urljoin, urlsplit

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedRedirect(Exception):  # noqa: N818 - a reason, part of another message
    """An unsafe redirect was refused; the message has the reason."""


class Response(Protocol):
    """Interface of an HTTP response, independent of the library."""

    @property
    def has_redirect_location(self) -> bool:
        """True if the response is a redirect."""
        ...

    @property
    def headers(self) -> "Headers":
        """The response headers."""
        ...

    @property
    def url(self) -> object:
        """The request URL."""
        ...


class Headers(Protocol):
    """The headers of a response."""

    def __getitem__(self, name: str, /) -> str:
        """Return the value of a header."""
        ...


def refuse_unsafe(response: Response) -> None:
    """Check a response before its redirect is followed. Raises `RefusedRedirect`."""
    if response.has_redirect_location:
        source = str(response.url)
        check_redirect(source, urljoin(source, response.headers["location"]))


def check_redirect(source: str, target: str) -> None:
    """Check the redirect from one URL to another. Raises `RefusedRedirect`.

    Redirects to other public servers are allowed, because models are stored there; the token is
    not sent along. Refused are redirects from https to http, to link-local addresses (cloud
    metadata services), and from a public to a private address (this computer or its network).
    """
    try:
        source_parts, target_parts = urlsplit(source), urlsplit(target)
        host, port = target_parts.hostname or "", target_parts.port
    except ValueError:
        raise RefusedRedirect("the server redirects to an invalid address") from None
    if target_parts.scheme not in ("http", "https") or not host:
        raise RefusedRedirect("the server redirects to an address that is not http or https")
    if source_parts.scheme == "https" and target_parts.scheme != "https":
        raise RefusedRedirect("the server redirects from https to an unencrypted address")
    if target_parts.username is not None or target_parts.password is not None:
        raise RefusedRedirect("the server redirects to an address with a user name or password")
    if any(_is_special_purpose(address) for address in _addresses(host, port)):
        raise RefusedRedirect("the server redirects to a link-local or reserved address")
    if _is_private(host, port) and not _is_private(source_parts.hostname or "", source_parts.port):
        raise RefusedRedirect("the server redirects to this computer or its network")


def _is_private(host: str, port: int | None) -> bool:
    return any(not address.is_global for address in _addresses(host, port))


def _is_special_purpose(address: _Address) -> bool:
    return address.is_link_local or address.is_multicast or address.is_unspecified


def _addresses(host: str, port: int | None) -> Iterator[_Address]:
    """Yield the addresses of a host; none if it cannot be resolved, as behind a proxy."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for *_, sockaddr in found:
        address = ipaddress.ip_address(str(sockaddr[0]).partition("%")[0])
        yield getattr(address, "ipv4_mapped", None) or address
