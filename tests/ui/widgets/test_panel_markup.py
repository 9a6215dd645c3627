"""Tests that panels show markup characters literally."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.content import Content
from textual.style import Style
from textual.widgets import OptionList, Static, Tab

from koel_tui.conversation.entries import Entry
from koel_tui.conversation.notices import Notice
from koel_tui.conversation.system_prompts import SystemPrompt
from koel_tui.protocol import Message
from koel_tui.storage.search.thread_index import Hit
from koel_tui.text import safe_line
from koel_tui.ui.app.status_line import Status
from koel_tui.ui.app.tab_bar import Label, TabBar
from koel_tui.ui.composer.file_list import FileList
from koel_tui.ui.conversation.link_panels import LinkDialog
from koel_tui.ui.conversation.link_picker import link_choice
from koel_tui.ui.conversation.links import MarkdownLink, validate_url
from koel_tui.ui.conversation.stats import ThreadStats, format_stats
from koel_tui.ui.library.preview import preview
from koel_tui.ui.library.result_lines import TextHit, excerpt, line_option
from koel_tui.ui.models.model_download import DownloadProgress
from koel_tui.ui.models.model_panel import format_progress
from koel_tui.ui.models.model_rows import ModelChoice
from koel_tui.ui.settings.setting import Setting
from koel_tui.ui.settings.thread_settings_panel import prompt_choice
from koel_tui.ui.transcript.folded_view import FoldedView
from koel_tui.ui.transcript.notice_rows import NoticeRows
from koel_tui.ui.widgets import picker
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.confirm_panel import ConfirmPanel
from koel_tui.workspace.saved_threads import SavedThread
from tests.hostile_summary import Tally

WIDE = 400
COUNTS = [pytest.param(60, id="60"), pytest.param(2000, id="2000", marks=pytest.mark.slow)]
markup = st.text("[]\\/@$=#'\"", min_size=1, max_size=24)


def hit(text: str) -> Hit:
    """Return a hit in which every second character matches."""
    spans = tuple((n, n + 1) for n in range(0, len(text), 2))
    return Hit("t", text, "m", "user", text, spans, datetime.now(UTC))


def prompt_of(line: TextHit) -> Content:
    shown = line_option(line, WIDE).prompt
    assert isinstance(shown, Content)
    return shown


def listed(title: str, detail: str) -> Content:
    return picker.format_line(title, detail, WIDE)


def setting(text: str) -> Setting:
    return Setting("system", text, "", text, "", None)


OUTPUTS: dict[str, Callable[[str], Content]] = {
    "status": lambda text: Status(activity=text, saved=text, model=text).render(WIDE),
    "alarm": lambda text: Status(activity=text, alert=text).render(WIDE),
    "list of threads": lambda text: listed(text, SavedThread("t", "", open_state=text).detail),
    "damaged thread": lambda text: listed(text, SavedThread("t", "", damage=text).short_detail),
    "list of models": lambda text: listed(ModelChoice(text).title, text),
    "list of system prompts": lambda text: listed(
        text, prompt_choice(SystemPrompt(text, text)).detail
    ),
    "list of settings": lambda text: listed(setting(text).title, setting(text).detail),
    "list of links": lambda text: listed(link_choice(MarkdownLink(text, text)).title, text),
    "queue": lambda text: listed(SimpleChoice(text, text).title, ""),
    "hit in the list": lambda text: prompt_of(TextHit(SavedThread("t", text), hit(text))),
    "excerpt": lambda text: excerpt(hit(f"a{text}"), WIDE),
    "preview": lambda text: preview([Message("m", "user", text), Message("n", "user", text)]),
    "preview of a hit": lambda text: preview([Message("m", "user", text)], hit(text)),
    "figures": lambda text: format_stats(ThreadStats(model=text, memory=text, now=text), WIDE),
    "a download": lambda text: format_progress(DownloadProgress("resolving", text), WIDE),
}
"""The functions that create the content of lists, panels and lines from a text."""


def words(text: str) -> str:
    return "".join(text.split())


def bound(content: Content) -> bool:
    """Return whether a click on the content runs an action."""
    return any(isinstance(span.style, Style) and bool(span.style.meta) for span in content.spans)


@pytest.mark.parametrize("count", COUNTS)
def test_the_contents_of_panels_do_not_interpret_markup(count: int, tally: Tally) -> None:
    tried: list[str] = []

    @settings(max_examples=count)
    @given(markup)
    def check(text: str) -> None:
        line = safe_line(text)
        for name, content_of in OUTPUTS.items():
            content = content_of(text)
            assert words(line) in words(content.plain), name
            assert not bound(content), name
            assert "[" not in str({span.style for span in content.spans}), name
            tried.append(name)

    check()
    tally("markup", tried=len(tried))


class Panels(App[None]):
    """An app with widgets that show one text each."""

    def __init__(self) -> None:
        super().__init__()
        self.files, self.notices, self.options = FileList(), NoticeRows("below"), OptionList()
        self.fold, self.bar = (
            FoldedView(Entry("f", "call", "", note="note")),
            TabBar(Label("t", "t")),
        )

    def compose(self) -> ComposeResult:
        yield from (self.bar, self.files, self.notices, self.fold, self.options)

    async def show(self, text: str) -> Iterator[str]:
        """Show a text in every widget, and return the shown texts."""
        self.files.show([text.replace("/", "|")], 0, "hint")
        self.notices.show([Notice("error", text), Notice("queued", text, "queue")])
        await self.fold.show(Entry("f", "call", text, note=text))
        await self.bar.show_labels([Label("t", text)], "t")
        self.options.clear_options().add_option(listed(text, text))
        return iter(
            [plain(self.notices), plain(self.fold.query_one(".headline", Static)),
             plain(self.bar.query_one(Tab)), str(self.options.options[0].prompt)]
        )  # fmt: skip


def plain(widget: Static | Tab) -> str:
    shown = widget.render()
    assert isinstance(shown, Content)
    return shown.plain


def actions(app: App[Any]) -> set[str]:
    """Return the actions of clicks on the screen, except those of scrollbars and our own rows."""
    found = set()
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            meta = segment.style.meta if segment.style is not None else {}
            found |= {str(value) for key, value in meta.items() if key.startswith("@")}
    return found - {"grab", "scroll_up", "scroll_down", "select(1)"}


def texts(count: int) -> list[str]:
    """Return `count` texts that hypothesis generates."""
    made: list[str] = []
    settings(max_examples=count)(given(markup)(lambda text: made.append(text)))()
    return made


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.timeout(600)
async def test_widgets_do_not_interpret_markup(count: int, tally: Tally) -> None:
    app = Panels()
    async with app.run_test(size=(WIDE, 40)) as pilot:
        for number, text in enumerate(texts(count)):
            for shown in await app.show(text):
                assert words(safe_line(text, 22))[:20] in words(shown)
            if not number % 20:
                await pilot.pause()
                assert not actions(app)
    tally("markup", tried=count * 5)


@pytest.mark.parametrize(
    "text", ["[/x]", "[@click=app.quit]x[/]", "[bold]b[/bold]", "[[", "\\[", "[", "[$x='#'", "]/@"]
)
async def test_dialogs_do_not_interpret_markup(text: str, tally: Tally) -> None:
    link = validate_url(f"https://example.org/?{text.replace(chr(92), '')}")
    app = App[None]()
    async with app.run_test(size=(120, 30)) as pilot:
        for screen in (ConfirmPanel("Sure?", text, "does"), LinkDialog(link)):
            await app.push_screen(screen)
            await pilot.pause()
            shown = [plain(each) for each in screen.query(Static)]
            assert (text if isinstance(screen, ConfirmPanel) else link.url) in "".join(shown)
            assert not actions(app)
    tally("markup", tried=2)
