"""Rules for markdown-it that make links of web addresses only.

linkify-it links `README.md` and `main.py`, because `md` and `py` are domains of countries.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from linkify_it import LinkifyIt
    from markdown_it import MarkdownIt
    from markdown_it.rules_core import StateCore

_AFTER_ADDRESS = (
    "\u00ab\u00bb\u201c\u201d\u2026\u3000-\u3003\u3008-\u3011\u3014-\u301b"
    "\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
)
"""Punctuation that follows an address without a space in Chinese and Japanese."""
_AFTER = re.compile(f"[{_AFTER_ADDRESS}].*", re.DOTALL)
_SEPARATORS = "[><\uff5c]"
"""The characters that end a path for linkify-it."""
_MAX_HOST, _USUAL_PATH = 320, 1000
"""Characters that are read first; they limit the time for many beginnings."""
_END_PUNCTUATION = ".,;:!?'\""
_IPV6_HOST = r"\[[0-9a-f:.]{2,45}\]"
_WWW = re.compile(r"www\.", re.IGNORECASE)
_LINKED = re.compile(r"(?:https?://|mailto:)[^/]", re.IGNORECASE)


class _Found(Protocol):
    """The part of linkify-it's match that is changed."""

    url: str


def add_rules(markdown: "MarkdownIt") -> None:
    """Let a parser link addresses that begin with `http://`, `https://` or `www.`.

    Their text stays as written: a decoded host name could look like another one. A link or an image
    without a text shows its address.
    """
    markdown.linkify = _finder()
    markdown.options["linkify"] = True
    markdown.enable("linkify")
    markdown.normalizeLinkText = _as_written  # type: ignore[method-assign]  # meant to be replaced
    markdown.core.ruler.push("koel_link_text", _show_empty_links)


def _as_written(link: str) -> str:
    return link


def is_linked_in_pages(url: str) -> bool:
    """Return whether a page may link to a URL: the web and mail, not files or programs."""
    return _LINKED.match(url) is not None


def _show_empty_links(state: "StateCore") -> None:
    from markdown_it.token import Token

    for token in state.tokens:
        children = token.children or []
        shown: list[Token] = []
        for index, child in enumerate(children):
            shown.append(child)
            following = children[index + 1].type if index + 1 < len(children) else ""
            if child.type == "link_open" and following == "link_close":
                shown.append(Token("text", "", 0, content=str(child.attrs.get("href", ""))))
            elif child.type == "image" and not child.content:
                child.content = str(child.attrs.get("src", ""))
                child.children = [Token("text", "", 0, content=child.content)]
        if len(shown) != len(children):
            token.children = shown


class _Address:
    """A web address whose beginning was found."""

    def __init__(self, begin: str) -> None:
        from linkify_it import LinkifyIt

        parts = LinkifyIt().re
        host = rf"(?:{parts['src_host_port_strict']}|{_IPV6_HOST}{parts['src_port']}(?![\w-]))"
        self._host = re.compile(begin + host, re.IGNORECASE)
        separators = f"{_SEPARATORS[:-1]}{_AFTER_ADDRESS}]"
        path = parts["src_path"].replace(_SEPARATORS, separators)
        self._path = re.compile(path, re.IGNORECASE)
        self._last = ("", 0, 0)

    def length(self, text: str, start: int) -> int:
        """Return the length of the rest of an address; 0 if there is none.

        It is also 0 within the last address found: linkify-it ignores what begins there, and the
        time to read the rest from each of many beginnings would be quadratic.
        """
        source, first, last = self._last
        if source is text and first < start < last:
            return 0
        limit = min(len(text), start + _MAX_HOST)
        host = self._host.match(text, start, limit)
        if host is None or limit == host.end() < len(text):
            return 0
        end = host.end()
        limit = min(len(text), end + _USUAL_PATH)
        path = self._path.match(text, end, limit)
        if path is not None and limit == path.end() < len(text):
            path = self._path.match(text, end)
        address = text[start : path.end() if path else end]
        length = len(_AFTER.sub("", address).rstrip(_END_PUNCTUATION))
        self._last = (text, start, start + length)
        return length

    def complete(self, match: _Found) -> None:
        """Add the scheme to an address without one."""
        match.url = f"http://{match.url}"


@cache
def _finder() -> "LinkifyIt":
    from linkify_it import LinkifyIt

    web = _Address(r"//(?:[^\s@/\[\]()]{1,50}@)?")
    www = _Address("")
    schemas = {
        "http:": {"validate": web.length},
        "www.": {"validate": www.length, "normalize": www.complete},
        **dict.fromkeys(("ftp:", "mailto:", "//")),
    }
    finder = LinkifyIt(schemas, {"fuzzy_link": False, "fuzzy_email": False})
    match_scheme = finder.match_at_start
    # markdown-it calls it for `www.e.orghttps://`, and skips as many characters as the URL has.
    finder.match_at_start = lambda text: None if _WWW.match(text) else match_scheme(text)
    return finder
