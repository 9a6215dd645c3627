"""Closing of Markdown, so that other text can follow it in one document."""

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BACKTICKS = re.compile(r"`{3,}")
_FENCE_LINE = re.compile(r"^(.*?)(`{3,}|~{3,})(.*)$", re.MULTILINE)
_OTHER_BEGIN = re.compile(r"<[A-Za-z!?/]|^ {0,3}\$\$", re.MULTILINE)
_BLOCK_ENDS = (">", "-->", "</pre>", "</script>", "</style>", "</textarea>", "?>", "]]>")
_TAG_ENDS = ("", "\n>", '\n">', "\n'>", "\n\n<!-- -->")
"""The ends of a tag or a comment that continues after its block."""
_MAX_PARSED_LENGTH = 256 * 1024
"""Characters of a text that are parsed; a longer one that may stay open becomes a code block."""
_BEGUN_TAG = re.compile(r"<[A-Za-z!?/]")
_UNCLOSABLE = "plaintext"
_MAX_OPEN_ELEMENTS = 100
_CLOSED = re.compile(
    r"a|abbr|acronym|address|applet|article|aside|audio|b|bdi|bdo|big|blink|blockquote|button|"
    r"canvas|caption|center|cite|code|colgroup|data|datalist|del|details|dfn|dialog|dir|div|dl|em|"
    r"fieldset|figcaption|figure|font|footer|form|frameset|h[1-6]|header|hgroup|i|iframe|ins|kbd|"
    r"label|legend|main|map|mark|marquee|math|menu|meter|nav|nobr|noembed|noframes|noscript|object|"
    r"ol|output|picture|plaintext|pre|progress|q|ruby|s|samp|script|search|section|select|slot|"
    r"small|span|strike|strong|style|sub|summary|sup|svg|table|template|textarea|time|title|tt|u|"
    r"ul|var|video|xmp"
)
"""The elements of HTML that end at their end tag only; a browser closes the others itself."""


def close_markdown(text: str) -> str:
    """Return Markdown after which other text is outside of every block and HTML element of it.

    A text whose end cannot be found becomes a code block.
    """
    closed = close_block(text)
    if closed is None:
        return code_fence(text)
    if _BEGUN_TAG.search(closed) is None:
        return closed
    for end in _TAG_ENDS if len(text) <= _MAX_PARSED_LENGTH else ():
        complete = _close_elements(f"{closed}{end}")
        if complete is not None and _is_closed(complete):
            return complete
    return code_fence(text)


def close_block(text: str) -> str | None:
    """Return Markdown of which the last block is closed; None if its end cannot be found."""
    if _has_closed_fences_only(text):
        return text
    if len(text) > _MAX_PARSED_LENGTH:
        return None
    return next(filter(_is_closed, (f"{text}{end}" for end in _block_ends(text))), None)


def code_fence(text: str, language: str = "") -> str:
    """Return a code block; its fence is longer than every run of backticks in the text."""
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _has_closed_fences_only(text: str) -> bool:
    """Return whether a text needs no parser: without HTML, and its fences are in no other block."""
    if _OTHER_BEGIN.search(text) is not None:
        return False
    opened = ""
    for before, fence, info in _FENCE_LINE.findall(text):
        if before:
            return False
        if not opened:
            opened = "" if fence[0] == "`" and "`" in info else fence
        elif fence.startswith(opened) and not info.strip(" \t"):
            opened = ""
    return not opened


def _block_ends(text: str) -> list[str]:
    """Return the possible ends of what the text leaves open."""
    tokens = _parse_blocks(text)
    last = tokens[-1] if tokens else None
    if last is not None and last.type == "fence":
        return ["", f"\n{last.markup}"]
    if last is not None and last.type == "html_block":
        return ["", *(f"\n{end}" for end in _BLOCK_ENDS)]
    formulas = "\n".join(token.content for token in tokens if token.type == "inline")
    is_open = _OTHER_BEGIN.search(formulas) is not None and formulas.count("$$") % 2 == 1
    return ["\n$$" if is_open else ""]


def _parse_blocks(text: str) -> "list[Token]":
    return _parser().disable("inline").parse(text)


def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt  # imported lazily, because it is slow

    return MarkdownIt("commonmark").enable("table")


def _is_closed(text: str) -> bool:
    """Return whether a heading after the text is a heading outside of the text's blocks."""
    tokens = _parse_blocks(f"{text}\n\n## heading\n")
    return len(tokens) > 2 and tokens[-3].type == "heading_open" and tokens[-3].level == 0


def _close_elements(text: str) -> str | None:
    """Return a text with the end tags that it lacks; None if that is not possible."""
    page = _OpenElements(text)
    if page.is_invalid or _UNCLOSABLE in page.names or len(page.names) > _MAX_OPEN_ELEMENTS:
        return None
    if not page.names:
        return text
    closed = "\n".join([text, "", *(f"</{name}>" for name in reversed(page.names))])
    page = _OpenElements(closed)
    return None if page.is_invalid or page.names else closed


class _OpenElements(HTMLParser):
    """The elements that the HTML in a Markdown text opens and does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        """The names of the open elements, the innermost last."""
        self.is_invalid = False
        """True if the HTML ends within a tag or a comment, or has an unknown declaration."""
        parts = (
            part for token in _parser().parse(text) for part in (token, *(token.children or ()))
        )
        html = [part.content for part in parts if part.type in ("html_block", "html_inline")]
        try:
            for piece in html:
                self.feed(piece)
        except AssertionError:  # raised by Python's parser for `<![x`
            self.is_invalid = True
        if self.cdata_elem is None and _BEGUN_TAG.search(self.rawdata) is not None:
            self.is_invalid = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add an element."""
        if _CLOSED.fullmatch(tag) is not None:
            self.names.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Add an element, because `<div/>` opens one in HTML."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Remove the innermost element of this name."""
        if tag in self.names:
            last = len(self.names) - 1 - self.names[::-1].index(tag)
            del self.names[last]
