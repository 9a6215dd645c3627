"""Tests of the line length in a wide window: rows, setting, mouse and scrollbar."""

from collections.abc import Iterator, Sequence

import pytest
from textual import events
from textual.widget import Widget
from textual.widgets.markdown import MarkdownFence

from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.storage import MemoryStorage
from koel_tui.ui.internals.selected_text import selected_text
from koel_tui.ui.transcript import rendered_markdown, text_wrapping
from koel_tui.ui.transcript.plain_text import PlainText
from koel_tui.ui.transcript.rendered_markdown import RenderedMarkdown
from koel_tui.ui.transcript.row_sources import Row
from tests.ui.window import Window, opened

PROSE = " ".join(f"word{n}" for n in range(100))
"""689 characters."""
CODE = "code_" + "x" * 125
ANSWER = f"""{PROSE}

# {PROSE[:150]}

- {PROSE}
  1. {PROSE}

> {PROSE}

| a | b |
|---|---|
| {PROSE[:90]} | {PROSE[:90]} |

```python
{CODE}
```

```
short
```
"""
LARGE = f"{PROSE}\n\n" * 60
"""41 KB, too large for Textual's Markdown."""
MARGIN = 2
"""The number of columns to the left of the text of an answer."""


def state(*texts: str) -> ChatState:
    roles = ("user", "assistant")
    each = (Message(f"m{n}", roles[n % 2], text) for n, text in enumerate(texts))
    return ChatState(messages=tuple(each))


async def saved(*texts: str) -> MemoryStorage:
    storage = MemoryStorage()
    await storage.save("t", state(*texts))
    return storage


def text_rows(window: Window) -> Iterator[str]:
    """Yield the rows of the transcript without the scrollbar."""
    for row in window.view.split("\n"):
        yield row[:-2].rstrip()


def longest_row(window: Window) -> int:
    return max(map(len, text_rows(window)))


def block(window: Window, kind: type[Widget], text: str = "") -> Widget:
    return next(each for each in window.transcript.query(kind) if text in str(each.render()))


@pytest.mark.parametrize(
    ("columns", "line_length", "longest"),
    [
        (80, 100, 76),  # limited by the window
        (120, 100, 100),
        (200, 100, 100),
        (200, 60, 60),
        (200, 0, 196),
        (60, 60, 56),
    ],
)
async def test_prose_has_lines_of_the_set_length(
    columns: int, line_length: int, longest: int
) -> None:
    storage = await saved("Why?", PROSE)
    size = (columns, 40)
    async with opened(size=size, storage=storage, thread="t", line_length=line_length) as window:
        await window.reads("word99")
        rows = [row.strip() for row in text_rows(window) if "word" in row]
        assert longest - 8 < max(map(len, rows)) <= longest
        assert " ".join(rows) == PROSE


async def test_every_kind_of_text_is_limited_and_code_may_be_wider() -> None:
    storage = MemoryStorage()
    call = ToolCall("c", "look", f'{{"words": "{PROSE}"}}')
    await storage.save(
        "t",
        ChatState(
            messages=(
                Message("u", "user", PROSE),
                Message("a", "assistant", ANSWER, reasoning=PROSE, tool_calls=(call,)),
                Message("r", "tool", PROSE, tool_call_id="c"),
                Message("o", "tool", PROSE, tool_call_id="unknown"),
            )
        ),
    )
    async with opened(size=(200, 120), storage=storage, thread="t") as window:
        await window.press("ctrl+t")
        await window.reads("code_")
        await window.until(lambda: window.view.count("word99") >= 8, "all texts")
        for row in text_rows(window):
            assert len(row) <= 106 or CODE in row, row
        for body in window.transcript.query(PlainText):
            assert body.content_size.width == 100
        wide, narrow = window.transcript.query(MarkdownFence)
        assert wide.size.width == len(CODE) + 4  # with the padding of the code
        assert narrow.size.width == 100


async def test_code_is_not_wider_than_a_narrow_window() -> None:
    storage = await saved("Why?", ANSWER)
    async with opened(size=(80, 60), storage=storage, thread="t") as window:
        await window.reads("code_")
        widths = {each.outer_size.width for each in window.transcript.query(MarkdownFence)}
        assert widths == {75}


async def test_a_block_of_code_grows_with_its_longest_line_while_it_is_written() -> None:
    async with opened(size=(200, 40)) as window:
        turn = await window.ask("Code?")
        turn.write("So:\n\n```\nshort\n")
        await window.reads("short")
        turn.write(CODE)
        await window.reads(CODE)
        turn.write("\nmore\n```\nThe end.")
        await window.reads("The end.")
        turn.finish()
        (fence,) = window.transcript.query(MarkdownFence)
        assert fence.size.width == len(CODE) + 4


@pytest.mark.parametrize("columns", [80, 120, 200])
async def test_a_large_answer_is_limited_as_text_and_rendered(columns: int) -> None:
    storage = await saved("Why?", LARGE)
    width = min(100, columns - 5)
    async with opened(size=(columns, 40), storage=storage, thread="t") as window:
        await window.reads("too large for Markdown")
        assert width - 8 < longest_row(window) - MARGIN <= width
        await window.press("alt+m")
        await window.reads("rendered as Markdown")
        await window.until(lambda: longest_row(window) > 60, "the rows")
        assert width - 8 < longest_row(window) - MARGIN <= width
        (rendered,) = window.transcript.query(RenderedMarkdown)
        assert rendered._rendered_width == width


@pytest.mark.slow
async def test_a_large_answer_is_rendered_once_for_its_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widths: list[int] = []
    render_rows = rendered_markdown._render_lines

    def noted(text: str, width: int) -> Sequence[Row]:
        widths.append(width)
        return render_rows(text, width)

    monkeypatch.setattr(rendered_markdown, "_render_lines", noted)
    storage = await saved("Why?", LARGE)
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("too large for Markdown")
        await window.press("alt+m")
        await window.reads("rendered as Markdown")
        for columns in (180, 140, 210):
            await window.pilot.resize_terminal(columns, 40)
            await window.until(lambda: window.app.size.width == columns)  # noqa: B023
            await window.reads("rendered as Markdown")
        assert widths == [100]
        await window.pilot.resize_terminal(90, 40)
        await window.until(lambda: widths == [100, 85])


async def test_an_answer_in_one_widget_has_the_width_of_its_paragraphs() -> None:
    storage = await saved("Why?", f"{PROSE}\n\n```\n{CODE}\n```")
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("word99")
        view = window.transcript._views[-1]
        await view.simplify()  # type: ignore[union-attr]
        await window.until(lambda: bool(window.transcript.query(RenderedMarkdown)))
        (rendered,) = window.transcript.query(RenderedMarkdown)
        assert rendered._rendered_width == 100
        await window.until(lambda: rendered.content_size.width == 100)
        assert rendered._rendered_width == 100


async def test_text_is_not_wrapped_again_while_the_window_stays_wider(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrapped: list[int] = []
    wrap = text_wrapping.Wrapping._wrap_from

    def noted(self: text_wrapping.Wrapping, start: int) -> None:
        wrapped.append(self._width)
        wrap(self, start)

    monkeypatch.setattr(text_wrapping.Wrapping, "_wrap_from", noted)
    storage = await saved(PROSE, LARGE)
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("too large for Markdown")
        assert set(wrapped) == {100}
        before = len(wrapped)
        for columns in (150, 199, 120, 110):
            await window.pilot.resize_terminal(columns, 40)
            await window.until(lambda: window.app.size.width == columns)  # noqa: B023
            await window.handled()
        assert len(wrapped) == before
    for columns in range(20, 90):
        text_wrapping.Wrapping(PROSE).count(columns)
    assert text_wrapping._rows.cache_info().currsize <= 16


async def test_the_scrollbar_is_at_the_edge_of_the_window() -> None:
    storage = await saved("Why?", LARGE)
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("too large for Markdown")
        assert window.transcript.vertical_scrollbar.region.right == 199  # one column is padding


async def test_both_columns_side_by_side_are_limited() -> None:
    storage = await saved("Why?", PROSE)
    async with opened(size=(260, 40), storage=storage, thread="t") as window:
        await window.reads("word99")
        await window.press("alt+s")
        await window.until(lambda: len(window.app.query("Transcript")) == 2)
        turn = await window.ask(PROSE)
        turn.finish()
        widths = [each.content_size.width for each in window.app.query(PlainText)]
        await window.until(lambda: len(window.app.query(PlainText)) >= 2)
        widths = [each.content_size.width for each in window.app.query(PlainText)]
        assert set(widths) == {100}
        (first,) = window.app.query("#messages Markdown.body MarkdownParagraph")
        assert first.size.width == 100


async def test_the_setting_applies_at_once_below_the_panel() -> None:
    storage = await saved("Why?", LARGE, PROSE, PROSE)
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("word99")
        await window.press("f9")
        await window.sees("max_sessions")
        await window.type("line_length")
        await window.until(lambda: "│ max_sessions" not in window.screen)
        for typed, said, width in (("60", "60", 60), ("off", "0", 195), ("", "100", 100)):
            await window.press("enter")
            await window.sees("saves in config.toml")
            await (window.type(typed) if typed else window.press("delete"))
            await window.press("enter")
            await window.sees(f"line_length is {said} now.")
            blocks = window.app.screen_stack[0].query("Markdown.body > MarkdownParagraph")
            await window.until(lambda: {each.size.width for each in blocks} == {width})  # noqa: B023
        await window.press("escape")
        await window.reads("word99")


async def drag(window: Window, start: tuple[int, int], *ends: tuple[int, int]) -> str:
    """Select with the mouse and return the selected text."""

    def post(kind: type[events.MouseEvent], at: tuple[int, int], button: int) -> None:
        x, y = at
        event = kind(None, x, y, 0, 0, button, False, False, False, x, y)
        window.app.screen._forward_event(event)

    post(events.MouseDown, start, 1)
    for end in ends:
        post(events.MouseMove, end, 1)
        await window.handled()
    post(events.MouseUp, ends[-1], 1)
    await window.handled()
    return selected_text(window.app.screen)


def position(window: Window, text: str) -> tuple[int, int]:
    """Return the column and row of a text on the screen."""
    return next((row.index(text), y) for y, row in enumerate(window.lines) if text in row)


@pytest.mark.parametrize("texts", [("Why?", PROSE), ("Why?", f"- {PROSE}"), (PROSE, "Because.")])
async def test_a_selection_right_of_the_text_ends_with_its_row(texts: tuple[str, str]) -> None:
    storage = await saved(*texts)
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("word99")
        start = position(window, "word20 ")
        first = window.lines[start[1]][start[0] :].strip(" ▌▎▁│▃█")
        selected = await drag(window, start, (start[0] + 4, start[1]), (170, start[1]))
        assert selected.split() == first.split()
        selected = await drag(window, start, (start[0] + 4, start[1]), (170, start[1] + 1))
        second = window.lines[start[1] + 1][:110].strip(" ▌▎▁│▃█●•")
        assert selected.split() == [*first.split(), *second.split()]
        # A selection may also begin to the right of the text.
        selected = await drag(window, (170, start[1]), (170, start[1] + 1), (9, start[1] + 1))
        assert selected.split()[0] == second.split()[0] and "word40" not in selected


async def test_a_selection_right_of_short_code_ends_with_its_row() -> None:
    storage = await saved("Why?", "So:\n\n```\nfirst line\nsecond line\n```\n\nThe end.")
    async with opened(size=(200, 40), storage=storage, thread="t") as window:
        await window.reads("second line")
        start = position(window, "first line")
        assert await drag(window, start, (start[0] + 2, start[1]), (90, start[1])) == "first line"
        assert await drag(window, start, (start[0] + 2, start[1]), (190, start[1])) == "first line"


@pytest.mark.parametrize(
    ("begin", "end", "copied"),
    [
        ("first", "first", "first"),
        ("first", "second", "first\tsecond"),
        ("first", "third", "first\tsecond\tthird"),
        ("third", "third", "third"),
    ],
)
async def test_a_selection_that_ends_in_a_cell_has_no_tab_at_its_end(
    begin: str, end: str, copied: str
) -> None:
    storage = await saved("Why?", "| first | second | third |\n|---|---|---|\n| c | d | e |")
    async with opened(size=(100, 30), storage=storage, thread="t") as window:
        await window.reads("third")
        (x, y), (to_x, to_y) = position(window, begin), position(window, end)
        text = await drag(window, (x, y), (to_x, to_y), (to_x + len(end), to_y))
        assert text == copied
