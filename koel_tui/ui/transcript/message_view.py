"""The widget of one message."""

import re

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Markdown, Static

from koel_tui import markdown_rules
from koel_tui.conversation.entries import Entry
from koel_tui.text import safe_text
from koel_tui.ui import internals
from koel_tui.ui.transcript import markdown_cost, markdown_parser
from koel_tui.ui.transcript.large_answer import LargeAnswer
from koel_tui.ui.transcript.plain_text import PlainText
from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown, render_rows
from koel_tui.ui.transcript.text_column import AnswerMarkdown
from koel_tui.ui.widgets.blank_lines import BlankLines

_TRAILING_NUMBER = re.compile(r"\n {0,3}\d{1,9}\Z")
"""Trailing digits, which are held back while streaming.

`1` may become the list item `1.`, but `Markdown.append` cannot turn a paragraph into one.
"""

_INITIAL_WIDTH = 40
_SIMPLIFIED_COST = 4
"""Maximum number of widgets of an answer that is not shown with Textual's Markdown."""


class MessageView(BlankLines, Vertical):
    """Shows one entry and follows its growth.

    User messages and answers too large for Markdown are plain text. Other answers are Markdown, to
    which new text is appended, because rendering all of it again costs more with every token.
    """

    def __init__(self, entry: Entry) -> None:
        super().__init__(classes=f"message -{entry.role}")
        self.entry = entry
        self._shown = _shown_text(entry)
        self._rich, self.cost = _choose_rendering(entry.role, self._shown)

    def compose(self) -> ComposeResult:
        """Yield the body and the note below it."""
        yield self._body()
        if self.entry.label:
            yield self._note()

    async def on_mount(self) -> None:
        """Append the initial text to a body that will grow."""
        await self._append_initial_text()

    async def show(self, entry: Entry) -> None:
        """Update the view to a later state of the same message."""
        if entry == self.entry:
            return
        ended = self.entry.is_writing and not entry.is_writing
        noted = self.entry.label
        self.entry = entry
        await self._show_text(_shown_text(entry), ended)
        if entry.label != noted:
            await self.query_children(".note").remove()
            if entry.label:
                await self.mount(self._note())

    async def simplify(self) -> None:
        """Show a complete answer in one widget; used when visible ones exceed the widget budget."""
        body = self.query_one_optional(AnswerMarkdown)
        if body is not None and not self.entry.is_writing:
            width = body.text_width or _INITIAL_WIDTH  # it is rendered again after the layout
            light = RenderedMarkdown(self._shown, await render_rows(self._shown, width), width)
            light.add_class("body")
            with self.app.batch_update():
                await body.remove()
                await self.mount(light, before=0)
            self.cost = _SIMPLIFIED_COST

    async def _show_text(self, text: str, ended: bool) -> None:
        before, self._shown = self._shown, text
        body = self.query_one_optional(".body", Widget)
        if body is None or (text == before and isinstance(body, RenderedMarkdown)):
            return  # the view is being removed, or nothing changed
        rich = self._rich
        self._rich, self.cost = _choose_rendering(self.entry.role, text)
        must_rebuild = isinstance(body, RenderedMarkdown) or not text.startswith(before)
        if rich != self._rich or must_rebuild:
            await body.remove()
            await self.mount(self._body(), before=0)
            await self._append_initial_text()
        elif isinstance(body, PlainText):
            body.show(text)
        elif isinstance(body, LargeAnswer):
            body.show(text, self.entry.is_writing)
        elif isinstance(body, Markdown):
            if len(text) > len(before):
                await body.append(text[len(before) :])
            # A link reference may be defined after its use; a formula changes at its end.
            if ended and markdown_rules.LATE_CHANGE.search(text):
                await body.update(text)
            elif ended:
                self.call_after_refresh(internals.redraw_tables, body)

    async def _append_initial_text(self) -> None:
        # Textual's Markdown breaks lists and code blocks if initial text is continued by append, so
        # text that will grow is appended from the first character.
        body = self.query_one_optional(Markdown)
        if body is not None and self.entry.is_writing and self._shown:
            await body.append(self._shown)

    def _body(self) -> Widget:
        if not self._rich:
            if self.entry.role == "assistant":
                return LargeAnswer(self._shown, self.entry.is_writing)
            return PlainText(self._shown, classes="body")
        parser = markdown_parser.create_parser()
        return AnswerMarkdown(
            "" if self.entry.is_writing else self._shown,
            parser_factory=lambda: parser,
            open_links=False,
            classes="body",
        )

    def _note(self) -> Static:
        return Static(Content(self.entry.label), classes="note")


def _shown_text(entry: Entry) -> str:
    text = safe_text(entry.text)
    return _TRAILING_NUMBER.sub("", text) if entry.is_writing else text


def _choose_rendering(role: str, text: str) -> tuple[bool, int]:
    """Return whether a message is shown as Markdown, and its estimated number of widgets."""
    if role != "assistant":
        return False, 2
    if len(text) <= markdown_cost.MAX_CHARACTERS:
        widgets = markdown_cost.estimate_widgets(text)
        if widgets <= markdown_cost.MAX_WIDGETS:
            return True, 2 + widgets
    return False, _SIMPLIFIED_COST


def estimate_cost(entry: Entry) -> int:
    """Estimate the number of widgets of a message before any is created."""
    return _choose_rendering(entry.role, entry.text)[1]
