"""Tests that a streamed answer looks like the same answer shown at once."""

from collections.abc import Sequence
from time import monotonic

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.containers import VerticalScroll

from koel_tui.conversation.entries import Entry
from koel_tui.ui.transcript.message_view import MessageView

CORPUS = {
    "prose": "One *two* **three** `four`\nfive.\n\nSix  \nseven.",
    "headings": "# One\ntext\n\nSetext\n======\n\nSecond\n---\n\n### Three ###\n",
    "fence": "Before:\n```python\nx = 1\n\ny = [2]\n```\nafter\n\n~~~\n```\n~~~\n",
    "open fence": "```\nnever\n\nclosed",
    "indented": "Text\n\n    code\n    more\n\ntext",
    "list": "- one\n- two\n\n  still two\n- three\n",
    "nested": "1. one\n   - a\n   - b\n     1. deep\n2. two\n\n   ```\n   code\n   ```\n3. three",
    "loose numbers": "1. a\n\n2. b\n\n   more\n\n3) c\n4) d\n\n5\n\n6 7",
    "loose": "* a\n\n* b\n\n* c\n\nend",
    "table": "| a | b |\n|---|:-:|\n| 1 | `2` |\n| 3 | **4** |\n\nend",
    "quote": "> one\n> two\n>\n> > deeper\n\nend",
    "rule": "above\n\n---\n\nbelow\n***\nend",
    "tasks": "- [ ] open\n- [x] done\n",
    "html": "<div>\nkept <b>bold</b>\n</div>\n\n<!-- seen -->\n\nend &amp; &#27; end",
    "links": "[a](https://example.org) <https://example.org> https://example.org end",
    "late link": "See [the docs][1] and [b].\n\ntext\n\n[1]: https://example.org/\n[b]: /b\n",
    "crlf": "- one\r\n- two\r\n\r\n```\r\ncode\r\n```\r\nend\r\n",
    "odd lines": "one\u2028two\u2029three\x85four\x0bfive\x0csix\n\n- a\u2028- b\n\nend",
    "controls": "a \x1b[31m red \x07\n\n`\x9b`\u202e end",
    "wide": "林林 **林** | 👩\u200d💻 e\u0301\n\n- 🇩🇪\n",
    "unfinished": "a **b `c [d](e\n\n| x |\n|--",
}
SIZE = (50, 60)
STEADY = 8
"""The number of frames without a change after which the screen counts as settled."""
TIMEOUT_S = 10.0


class Shown(App[None]):
    def __init__(self, *views: MessageView) -> None:
        super().__init__()
        self._views = views

    def compose(self) -> ComposeResult:
        yield VerticalScroll(*self._views)


def strips(app: App[None]) -> list[list[Segment]]:
    return [list(Segment.simplify(strip)) for strip in app.screen._compositor.render_strips()]


async def at_once(text: str) -> list[list[Segment]]:
    """Return the painted rows of a complete text after the screen has settled."""
    async with Shown(MessageView(Entry("a", "assistant", text))).run_test(size=SIZE) as pilot:
        frames: list[list[list[Segment]]] = []
        while (
            len(frames) < STEADY
            or any(frame != frames[-1] for frame in frames[-STEADY:])
            or not words(frames[-1]).strip()
            or not all(widget.is_mounted for widget in pilot.app.query("*"))
        ):
            await pilot.pause()
            frames.append(strips(pilot.app))
        return frames[-1]


def words(painted: list[list[Segment]]) -> str:
    return "\n".join("".join(segment.text for segment in line).rstrip() for line in painted)


async def assert_same(text: str, cuts: Sequence[int]) -> None:
    """Check that a text streamed up to each cut in turn looks like the complete text."""
    whole = await at_once(text)
    first, *rest = cuts
    view = MessageView(Entry("a", "assistant", text[:first], is_writing=True))
    async with Shown(view).run_test(size=SIZE) as pilot:
        for end in rest:
            await view.show(Entry("a", "assistant", text[:end], is_writing=True))
        await view.show(Entry("a", "assistant", text))
        deadline = monotonic() + TIMEOUT_S
        while (streamed := strips(pilot.app)) != whole and monotonic() < deadline:
            await pilot.pause()
    assert words(streamed) == words(whole)
    assert streamed == whole


@pytest.mark.parametrize("name", CORPUS)
@pytest.mark.parametrize("step", [1, 7])
async def test_a_streamed_answer_in_small_pieces_looks_like_the_whole(name: str, step: int) -> None:
    text = CORPUS[name]
    await assert_same(text, range(0, len(text) + step, step))


@settings(max_examples=15)
@given(st.sampled_from(sorted(CORPUS)), st.data())
async def test_a_streamed_answer_in_any_pieces_looks_like_the_whole(
    name: str, data: st.DataObject
) -> None:
    text = CORPUS[name]
    cuts = data.draw(st.sets(st.integers(0, len(text)), min_size=1, max_size=8))
    await assert_same(text, sorted(cuts))


@settings(max_examples=8)
@given(st.lists(st.sampled_from(sorted(CORPUS.values())), min_size=2, max_size=3), st.data())
async def test_streamed_answers_of_several_kinds_of_blocks_look_like_the_whole(
    parts: list[str], data: st.DataObject
) -> None:
    text = "\n\n".join(parts)
    cuts = data.draw(st.sets(st.integers(0, len(text)), min_size=1, max_size=6))
    await assert_same(text, sorted(cuts))
