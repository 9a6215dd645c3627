"""Tests that 2000 strings that look like markup are shown literally and have no actions."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.content import Content
from textual.widgets import OptionList, Static, Tab
from textual.widgets.option_list import Option

from koel_tui.conversation.entries import Entry
from koel_tui.conversation.notices import Notice
from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.storage import MemoryStorage
from koel_tui.text import safe_line
from koel_tui.ui.app.status_line import Status, StatusLine
from koel_tui.ui.app.tab_bar import Label, TabBar
from koel_tui.ui.transcript.folded_view import FoldedView
from koel_tui.ui.transcript.notice_rows import NoticeRows
from koel_tui.ui.widgets import picker
from koel_tui.workspace.saved_threads import SavedThread
from tests.hostile_summary import Tally
from tests.ui.window import Window, opened

PIECES = (
    "[", "]", "[[", "]]", "[/", "[/]", "[b]", "[/b]", "[bold red]", "[/bold red]", "[not bold]",
    "[red on blue]", "[on #123456 50%]", "[$primary]", "$text", "[link=https://example.org]",
    "[link='x']", "[@click=app.quit]", "[@click=app.quit()]", "[@click=screen.dismiss('x')]",
    "[@click=app.new_tab]", "[@mouse.down=app.bell]", "[/@click]", "[/x]", "[x=y]", "[true, false]",
    "\\", "\\[", "\\\\[b]", ":smile:", ":warning:", "{", "}", "{x!r}", "%s", "'", '"', "=", "(",
    ")", "#", "|", "~", "a", "word", "é", "漢", "😀", " ", "[auto]", "[reverse]", "[blink]", "[x",
)  # fmt: skip
STRINGS = 2000
SCROLLBAR = ("grab", "scroll_up", "scroll_down")


def strings(seed: int = 5) -> list[str]:
    """Return nested and unbalanced strings that look like markup; none is blank."""
    random = Random(seed)
    made = ("".join(random.choices(PIECES, k=random.randint(1, 9))) for _ in range(10 * STRINGS))
    return [text for text in made if text.strip()][:STRINGS]


def batched(texts: list[str], size: int) -> Iterator[list[str]]:
    """Yield `size` texts at a time."""
    return (texts[start : start + size] for start in range(0, len(texts), size))


def actions(app: App[Any]) -> Iterator[str]:
    """Yield the actions of clicks on the screen, except those of scrollbars."""
    for screen in app.screen_stack:
        for strip in screen._compositor.render_strips():
            for segment in strip:
                meta = segment.style.meta if segment.style is not None else {}
                found = [str(meta[key]) for key in meta if key.startswith("@")]
                yield from (action for action in found if action not in SCROLLBAR)


def words(text: str) -> str:
    """Return the text without spaces and without the blocks at the edge of the screen."""
    return "".join(text.replace("█", "").split())


class Lines(App[None]):
    """An app with every widget that shows one line of untrusted text."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = TabBar(Label("tab", "title"))
        self.status = StatusLine(Status())
        self.notices = NoticeRows("below")
        self.fold = FoldedView(Entry("f", "call", "", note="note"))
        self.options = OptionList()

    def compose(self) -> ComposeResult:
        yield self.bar
        yield self.notices
        yield self.fold
        yield self.options
        yield self.status


def plain(widget: Static | Tab) -> str:
    shown = widget.render()
    assert isinstance(shown, Content)
    return shown.plain


async def test_the_lines_of_the_window_do_not_interpret_markup(tally: Tally) -> None:
    app = Lines()
    async with app.run_test(size=(400, 40)) as pilot:
        for batch in batched(strings(), 100):
            for text in batch:
                line = safe_line(text)
                app.status.show(Status(activity=text, alert=text))
                assert words(plain(app.status)) == words(line + line)
                app.status.show(Status(model=text))
                assert words(plain(app.status)) == words(line)
                app.notices.show([Notice("error", text)])
                assert plain(app.notices) == text
                await app.bar.show_labels([Label("tab", text)], "tab")
                assert app.bar.query_one(Tab).label_text == Label("tab", text).text(1, 398)
                await app.fold.show(Entry("f", "call", "", note=text))
                assert plain(app.fold.query_one(".headline", Static)) == f"▸ {line}"
            app.options.clear_options()
            threads = [SavedThread("t", text, text) for text in batch]
            app.options.add_options(
                Option(picker.format_line(each.title, each.detail, 390)) for each in threads
            )
            await pilot.pause()
            assert not list(actions(app))
    tally("markup", tried=8 * STRINGS)


def toasts(window: Window) -> list[Static]:
    return list(window.app.screen.query("Toast").results(Static))


async def shows_toasts(window: Window, texts: set[str]) -> None:
    await window.until(lambda: {plain(toast) for toast in toasts(window)} == texts, str(texts))


async def shown(window: Window, text: str) -> None:
    await window.until(lambda: words(text) in words(window.screen), text)


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[pytest.mark.slow] if part > 1 else []) for part in range(10)]
)
async def test_messages_do_not_interpret_markup(part: int, tally: Tally) -> None:
    batch = strings()[part * 200 : (part + 1) * 200]
    text = "\n".join(batch)
    state = ChatState(
        messages=(
            Message("u", "user", text),
            Message(
                "a", "assistant", f"```\n{text}\n```\n", reasoning=text,
                tool_calls=(ToolCall("c", batch[0], text),),
            ),
            Message("t", "tool", text, tool_call_id="c"),
            Message("o", "tool", f"orphan {text}", tool_call_id="none"),
        )
    )  # fmt: skip
    storage = MemoryStorage()
    await storage.save("t", state)
    await storage.update_meta("t", title=batch[1])
    async with opened(size=(260, 1600), storage=storage, thread="t") as window:
        await shown(window, f"orphan {text}")
        await window.press("ctrl+t")
        # User message, answer, thinking, arguments, result, and the result without a call.
        await window.until(lambda: words(window.screen).count(words(text)) == 6)
        assert not list(actions(window.app))
    tally("markup", tried=6 * len(batch))


async def test_paragraphs_and_tables_have_no_actions_except_links(tally: Tally) -> None:
    """Markdown renders these parts, so not every string is shown literally."""
    async with opened(size=(120, 100)) as window:
        for number, batch in enumerate(batched(strings(), 100)):
            await window.press("ctrl+n")
            turn = await window.ask(batch[0])
            turn.write("\n".join(batch[:80]))
            turn.write("\n\n| a |\n|---|\n")
            turn.write("".join(f"| {text} |\n" for text in batch[80:95]))
            for text in batch[95:]:
                turn.write(f"\n\n```{text.replace('`', '')}\nx\n```")
            turn.write(f"\n\nnumber {number}.")
            turn.finish()
            await window.sees(f"number {number}.")
            assert all(action.startswith("link(") for action in actions(window.app))
    tally("markup", tried=STRINGS)


async def test_toasts_errors_and_the_prompt_do_not_interpret_markup(tally: Tally) -> None:
    async with opened(size=(120, 40)) as window:
        for batch in batched(strings(), 20):
            window.app.clear_notifications()
            for text in batch[:5]:
                window.app.notify(f"told: {text}")
            window.prompt.replace_text(batch[0])
            expected = {f"told: {safe_line(text)}" for text in batch[:5]}
            await shows_toasts(window, expected)
            await shown(window, batch[0])
            assert not list(actions(window.app))
    tally("markup", tried=6 * STRINGS // 20)
