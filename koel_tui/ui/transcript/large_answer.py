"""An answer too large for Textual's Markdown: plain text, or Markdown in one widget on demand."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.transcript.line_widget import LineWidget
from koel_tui.ui.transcript.plain_text import PlainText
from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown, render_rows

_PLAIN = "plain text: too large for Markdown"
_RENDERING = f"{_PLAIN} · rendering…"
_RENDER = "answer.render"


class RenderToggle(Static):
    """The line below the text: its current rendering and the key that changes it."""

    class Clicked(Message):
        """The line was clicked."""

    def on_click(self) -> None:
        """Post the click."""
        self.post_message(self.Clicked())


class LargeAnswer(Vertical):
    """Shows a long answer as plain text with a note; `toggle` toggles Markdown rendering."""

    def __init__(self, text: str, writing: bool) -> None:
        super().__init__(classes="body")
        self._text = text
        self._writing = writing

    def compose(self) -> ComposeResult:
        """Yield the text and the note below it."""
        yield PlainText(self._text)
        yield RenderToggle(self._note_text(rendered=False), classes="note")

    def show(self, text: str, writing: bool) -> None:
        """Show a longer text that begins with the current one."""
        plain = self.query_one_optional(PlainText)
        if text != self._text and plain is not None:
            plain.show(text)
        elif text != self._text:
            self.call_later(self._show_plain)
        self._text, self._writing = text, writing
        if plain is not None:
            self._update_note(self._note_text(rendered=False))

    def toggle(self) -> None:
        """Toggle between plain text and Markdown; a streaming answer stays plain."""
        plain = self.query_one_optional(PlainText)
        if plain is None:
            self.call_later(self._show_plain)
        elif not self._writing:
            self._update_note(_RENDERING)
            self.run_worker(self._render_markdown(plain.content_size.width), exclusive=True)

    def on_render_toggle_clicked(self) -> None:
        """Toggle the rendering when the note is clicked."""
        self.toggle()

    async def _render_markdown(self, width: int) -> None:
        text = self._text
        body = RenderedMarkdown(text, await render_rows(text, width), width)
        self.call_later(self._show_rendered, text, body)

    async def _show_rendered(self, text: str, body: RenderedMarkdown) -> None:
        if text == self._text:  # else it has grown meanwhile
            await self._replace_body(body)

    async def _show_plain(self) -> None:
        await self._replace_body(PlainText(self._text))

    async def _replace_body(self, body: LineWidget) -> None:
        with self.app.batch_update():
            await self.remove_children(LineWidget)
            await self.mount(body, before=0)
        self._update_note(self._note_text(rendered=isinstance(body, RenderedMarkdown)))

    def _note_text(self, *, rendered: bool) -> str:
        if rendered:
            return f"rendered as Markdown · {key_of(self.app, _RENDER)} shows plain text"
        hint = "" if self._writing else f" · {key_of(self.app, _RENDER)} renders it"
        return f"{_PLAIN}{hint}"

    def _update_note(self, text: str) -> None:
        hint = self.query_one_optional(RenderToggle)
        if hint is not None and hint.content != text:
            hint.update(text)
