"""A program for test_hostile: widgets with unsanitized text, and only the output sanitizer."""

import sys

from textual.app import App, ComposeResult
from textual.content import Content
from textual.style import Style
from textual.widgets import Input, Label, Log, Markdown, OptionList, Static, TextArea

from koel_tui.ui import internals
from tests.hostile import EVERYTHING


class RawWidgets(App[None]):
    """An app with every kind of widget that shows text."""

    CSS = "Screen > * { height: auto; max-height: 4; }"

    def compose(self) -> ComposeResult:
        """Yield widgets with every hostile character."""
        yield Static(Content(EVERYTHING))
        yield Static(Content.styled("linked", Style(link=f"https://x/{EVERYTHING}")))
        yield Label(Content.styled(EVERYTHING, "bold red"))
        yield Markdown(f"{EVERYTHING}\n\n`{EVERYTHING}`\n\n```\n{EVERYTHING}\n```")
        yield Input(EVERYTHING)
        yield TextArea(EVERYTHING)
        yield Log()
        yield OptionList(Content(EVERYTHING))
        titled = Static("titled")
        titled.styles.border = ("round", "red")
        titled.border_title = Content(EVERYTHING)
        yield titled
        yield Static("the end")

    def on_mount(self) -> None:
        """Write to the log, which must be mounted first."""
        self.query_one(Log).write(EVERYTHING)


if __name__ == "__main__":
    if "--without-sanitizer" not in sys.argv:
        internals.install_output_sanitizer()
    RawWidgets().run()
