"""Export of a thread as a Markdown document."""

import re
from collections.abc import Iterator
from itertools import pairwise

from koel_tui.markdown_closing import close_markdown, code_fence
from koel_tui.markdown_references import separate_references
from koel_tui.protocol import Message
from koel_tui.storage.interchange.message_headings import (
    author_label,
    format_time,
    resembles_heading,
)
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.text import safe_line, safe_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_HEADING_LINE = re.compile(r"^[^#\n]*#{1,6}[ \t]|^[^\n]*[=-][ \t]*$", re.MULTILINE)
_HEADING_MARK = re.compile(r"#{1,6}(?=[ \t])")
_UNDERLINE = re.compile(r"[=-]+[ \t]*$")
_MAX_PASSES = 20
"""The number of searches for headings in a text before it becomes a code block."""


def to_markdown(thread: Thread) -> str:
    """Return the thread as Markdown, without terminal control characters.

    The content of messages is Markdown already and is otherwise unchanged, except that

    - a code block or HTML that is not closed is closed, so that it does not contain the messages
      after it;
    - a heading that could be confused with the heading of a message is shown as text;
    - a label of a link or a footnote that other messages define differently is replaced.
    """
    parts = iter(separate_references([_as_part(text) for text in _texts(thread)]))
    blocks = [*_head(thread, parts)]
    for message in thread.state.messages:
        blocks += _message(message, parts)
    return "\n\n".join(filter(None, blocks)) + "\n"


def _texts(thread: Thread) -> Iterator[str]:
    """Yield the texts of the document that are Markdown, in their order."""
    for name, value in _properties(thread).items():
        yield _labelled(name.capitalize(), value)
    for message in thread.state.messages:
        if message.reasoning:
            yield _labelled("Thinking", message.reasoning)
        if _answer(message):
            yield message.content


def _head(thread: Thread, parts: Iterator[str]) -> Iterator[str]:
    yield f"# {_escape(thread.title) or 'Thread'}"
    for _ in _properties(thread):
        yield _quote(next(parts))


def _message(message: Message, parts: Iterator[str]) -> Iterator[str]:
    at = format_time(message)
    yield f"## {author_label(message)}{f', {at}' if at else ''}"
    if message.reasoning:
        yield _quote(next(parts))
    if _answer(message):
        yield next(parts)
    elif message.role == "tool":
        yield code_fence(safe_text(message.content))
    for call in message.tool_calls:
        yield f"Calls {_escape(call.name)}:"
        yield code_fence(safe_text(call.arguments))


def _properties(thread: Thread) -> dict[str, str]:
    values = {name: thread.meta.get(name) for name in ("model", "system")}
    return {name: value for name, value in values.items() if isinstance(value, str) and value}


def _answer(message: Message) -> str:
    return "" if message.role == "tool" else message.content


def _as_part(text: str) -> str:
    """Return the Markdown of a text as a part of the document."""
    part = close_markdown(safe_text(text).strip("\n"))
    # Without a heading, the lines after it may belong to another block, or be a heading.
    for _ in range(_MAX_PASSES):
        hidden = _hide_headings(part)
        if hidden == part:
            return part
        part = close_markdown(hidden)
    return code_fence(part)


def _hide_headings(text: str) -> str:
    """Return Markdown in which a heading like that of a message is text."""
    if _HEADING_LINE.search(text) is None:
        return text
    from markdown_it import MarkdownIt  # imported lazily, because it is slow

    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    lines = text.split("\n")
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and token.map and resembles_heading(inline.content):
            if token.markup.startswith("#"):
                mark, line = _HEADING_MARK, token.map[0]
            else:
                mark, line = _UNDERLINE, token.map[1] - 1
            lines[line] = mark.sub(lambda found: f"\\{found[0]}", lines[line], count=1)
    return "\n".join(lines)


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", safe_line(text))


def _labelled(label: str, text: str) -> str:
    """Return a text with a label, which is a separate paragraph before several lines."""
    text = safe_text(text).strip("\n")
    return f"{label}:\n\n{text}" if "\n" in text else f"{label}: {text}"


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))
