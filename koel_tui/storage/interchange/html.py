"""Export of a thread as one HTML page without external resources, scripts or requests."""

from collections.abc import Iterator
from html import escape

from koel_tui import markdown_links, markdown_rules
from koel_tui.protocol import Message
from koel_tui.storage.interchange.message_headings import author_label, format_time
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.text import safe_line, safe_text

_MAX_MARKDOWN_LENGTH = 256 * 1024  # characters; longer answers are shown as plain text
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem;
  color: #222; background: #fff; overflow-wrap: anywhere }
article { border-top: 1px solid #ccc; padding: .5rem 0 }
header { color: #666; font-size: .85rem }
.plain { white-space: pre-wrap }
pre { background: #f3f3f3; padding: .6rem; overflow-x: auto }
table { border-collapse: collapse } td, th { border: 1px solid #ccc; padding: .2rem .5rem }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b }
  pre { background: #2a2a2a } a { color: #8ab4f8 } }
"""


def to_html(thread: Thread) -> str:
    """Return the thread as an HTML page, with all content escaped."""
    title = escape(safe_line(thread.title) or "Thread")
    return "\n".join(
        [
            "<!doctype html>",
            '<html><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">',
            '<meta name="referrer" content="no-referrer">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title><style>{_STYLE}</style></head>",
            f"<body><h1>{title}</h1>",
            *_meta_headers(thread),
            *(_article(message) for message in thread.state.messages),
            "</body></html>\n",
        ]
    )


def _meta_headers(thread: Thread) -> Iterator[str]:
    for name in ("model", "system"):
        value = thread.meta.get(name)
        if isinstance(value, str) and value:
            yield f"<header>{name.capitalize()}: {_escape(value)}</header>"


def _article(message: Message) -> str:
    pieces = [
        f"<article><header>{author_label(message)} <time>{format_time(message)}</time></header>"
    ]
    if message.reasoning:
        reasoning = _escape(message.reasoning)
        pieces.append(f"<details><summary>Thinking</summary>{reasoning}</details>")
    if message.role == "assistant" and len(message.content) <= _MAX_MARKDOWN_LENGTH:
        pieces.append(_render_markdown(message.content))
    elif message.content:
        pieces.append(_escape(message.content))
    for call in message.tool_calls:
        pieces.append(f"<p>Calls {escape(safe_line(call.name))}:</p>")
        pieces.append(f"<pre>{escape(safe_text(call.arguments))}</pre>")
    return "\n".join([*pieces, "</article>"])


def _escape(text: str) -> str:
    return f'<div class="plain">{escape(safe_text(text))}</div>'


def _render_markdown(text: str) -> str:
    """Render Markdown to HTML; HTML in it is escaped, and an image becomes a link, not loaded."""
    from markdown_it import MarkdownIt  # imported lazily, because it is slow and used only here

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    markdown_rules.add_rules(parser)
    markdown_links.add_rules(parser)
    parser.validateLink = markdown_links.is_linked_in_pages  # type: ignore[method-assign]  # meant to be replaced
    return str(parser.render(safe_text(text)))
