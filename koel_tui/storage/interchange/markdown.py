"""Export of a thread as a Markdown document."""

import re
from collections.abc import Iterator

from koel_tui.protocol import Message
from koel_tui.storage.interchange.message_headings import author_label, format_time
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.text import safe_line, safe_text

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")
_FENCE = re.compile(r"`{3,}")


def to_markdown(thread: Thread) -> str:
    """Return the thread as Markdown, without terminal control characters.

    The content of messages is Markdown already and is otherwise unchanged.
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
        yield safe_text(message.content).strip("\n")
    for call in message.tool_calls:
        yield f"Calls {_escape(call.name)}:"
        yield code_fence(safe_text(call.arguments))


def _escape(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", safe_line(text))


def _quote(text: str) -> str:
    return "\n".join(f"> {line}" for line in safe_text(text).splitlines())
