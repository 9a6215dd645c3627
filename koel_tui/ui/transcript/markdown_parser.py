"""Markdown parser for untrusted text from models."""

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore

from koel_tui import markdown_rules
from koel_tui.text import safe_text


def create_parser() -> MarkdownIt:
    """Return a Markdown parser whose tokens are safe for a terminal.

    HTML and formulas stay visible as text, and characters decoded from entities like `&#x202e;` are
    sanitized in the same way as the source.
    """
    from koel_tui import markdown_links

    markdown = MarkdownIt("gfm-like", {"html": False})
    markdown_rules.add_rules(markdown)
    markdown_links.add_rules(markdown)
    markdown.core.ruler.push("koel_safe", _sanitize_tokens)
    return markdown


def _sanitize_tokens(state: StateCore) -> None:
    for token in state.tokens:
        token.content = safe_text(token.content)
        for child in token.children or ():
            child.content = safe_text(child.content)
            for grandchild in child.children or ():
                grandchild.content = safe_text(grandchild.content)
