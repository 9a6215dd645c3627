"""Export of a thread as a Markdown document."""

import re
from collections.abc import Iterator

from koel_tui.protocol import Message
from koel_tui.storage.interchange.message_headings import author_label, format_time
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.text import safe_line, safe_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_FENCE = re.compile(r"`{3,}")
_OPENED_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})", re.MULTILINE)
_MAY_STAY_OPEN = re.compile(r"^ {0,3}(?:`{3}|~{3}|<)", re.MULTILINE)
_HTML_ENDS = ("-->", "</pre>", "</script>", "</style>", "</textarea>", "?>", "]]>", ">")
_MAX_PARSED_LENGTH = 256 * 1024
"""Characters of a message that are parsed; a longer one that may stay open is a code block."""


def to_markdown(thread: Thread) -> str:
    """Return the thread as Markdown, without terminal control characters.

    The content of messages is Markdown already and is otherwise unchanged, except that a code block
    or HTML that is not closed is closed, so that it does not contain the messages after it.
    """
    return "\n\n".join(_blocks(thread)) + "\n"


def code_fence(text: str, language: str = "") -> str:
    """Return a code block; its fence is longer than every run of backticks in the text."""
    longest = max((len(run) for run in _FENCE.findall(text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _blocks(thread: Thread) -> Iterator[str]:
    yield f"# {_escape(thread.title) or 'Thread'}"
    for name in ("model", "system"):
        value = thread.meta.get(name)
        if isinstance(value, str) and value:
            yield _quote(f"{name.capitalize()}: {value}")
    for message in thread.state.messages:
        yield from _message(message)


def _message(message: Message) -> Iterator[str]:
    at = format_time(message)
    yield f"## {author_label(message)}{f', {at}' if at else ''}"
    if message.reasoning:
        yield _quote(f"Thinking:\n{message.reasoning}")
    if message.role == "tool":
        yield code_fence(safe_text(message.content))
    elif message.content:
        yield _close(safe_text(message.content).strip("\n"))
    for call in message.tool_calls:
        yield f"Calls {_escape(call.name)}:"
        yield code_fence(safe_text(call.arguments))


def _close(text: str) -> str:
    """Return Markdown after which a heading is a heading, for every text."""
    if _MAY_STAY_OPEN.search(text) is None:
        return text
    if len(text) <= _MAX_PARSED_LENGTH:
        for end in ("", *_ends(text)):
            closed = f"{text}\n{end}" if end else text
            if _ends_before_heading(closed):
                return closed
    return code_fence(text)


def _ends(text: str) -> Iterator[str]:
    """Yield the possible ends of what is open: the longest fences first."""
    yield from sorted({fence[1] for fence in _OPENED_FENCE.finditer(text)}, key=len, reverse=True)
    yield from _HTML_ENDS


def _ends_before_heading(text: str) -> bool:
    from markdown_it import MarkdownIt  # imported lazily, because it is slow and used only here

    parser = MarkdownIt("commonmark").disable("inline")  # blocks only
    tokens = parser.parse(f"{text}\n\n## heading\n")
    return len(tokens) > 2 and tokens[-3].type == "heading_open" and tokens[-3].level == 0


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", safe_line(text))


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in safe_text(text).splitlines())
