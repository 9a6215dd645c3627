"""Exported Markdown and HTML, and their file names: text of messages has no effect on them."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.storage.interchange import ExportFormat, Thread, export_thread, file_name
from tests.protocol.strategies import states, texts
from tests.storage.helpers import MOMENT, saying

TALK = Thread(
    "t",
    ChatState(
        messages=(
            Message("1", "user", "What is <b>this</b>?", MOMENT),
            Message(
                "2",
                "assistant",
                "Code:\n\n```html\n<script>alert(1)</script>\n```\n\n"
                "| a | b |\n|---|---|\n| 1 | 2 |",
                MOMENT,
                reasoning="Hm.\nHTML?",
                tool_calls=(ToolCall("c", "look_up", '{"at": "```"}'),),
                interrupted=True,
            ),
            Message("3", "tool", "```\nfound", tool_call_id="c"),
        )
    ),
    {"title": "A # title [x](y)", "model": "SmolLM2", "system": "Be <i>brief</i>."},
)


def test_a_markdown_export_has_every_part_of_a_thread() -> None:
    assert export_thread(TALK, ExportFormat.MARKDOWN) == (
        "# A \\# title \\[x\\](y)\n\n"
        "> Model: SmolLM2\n\n"
        "> System: Be <i>brief</i>.\n\n"
        "## You, 2026-01-02 03:04 UTC\n\n"
        "What is <b>this</b>?\n\n"
        "## Model (stopped), 2026-01-02 03:04 UTC\n\n"
        "> Thinking:\n>\n> Hm.\n> HTML?\n\n"
        "Code:\n\n```html\n<script>alert(1)</script>\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
        "Calls look\\_up:\n\n"
        '````\n{"at": "```"}\n````\n\n'
        "## Tool\n\n"
        "````\n```\nfound\n````\n"
    )


class Page(HTMLParser):
    """A parser that collects the elements, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_an_html_export_has_every_part_of_a_thread_escaped() -> None:
    page = Page(export_thread(TALK, ExportFormat.HTML))
    assert "script" not in page.tags and "b" not in page.tags and "i" not in page.tags
    assert {"pre", "code", "table", "details", "article"} <= set(page.tags)
    for said in (
        "A # title [x](y)",
        "SmolLM2",
        "Be <i>brief</i>.",
        "What is <b>this</b>?",
        "<script>alert(1)</script>",
        "Hm.\nHTML?",
        "2026-01-02 03:04 UTC",
        "Model (stopped)",
        'Calls look_up:\n{"at": "```"}',
        "```\nfound",
    ):
        assert said in page.text


SAFE_TAGS = {
    "a", "article", "blockquote", "body", "br", "code", "details", "div", "em", "h1", "h2", "h3",
    "h4", "h5", "h6", "head", "header", "hr", "html", "li", "meta", "ol", "p", "pre", "strong",
    "style", "summary", "table", "tbody", "td", "th", "thead", "time", "title", "tr", "ul",
}  # fmt: skip
SAFE_NAMES = {
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "href",
    "title",
    "style",
    "start",
}
HOSTILE = [
    "<script>alert(1)</script>",
    "</article></body><img src=x onerror=alert(1)>",
    "![x](https://evil.example/track.png)",
    "![x][r]\n\n[r]: https://evil.example/track.png",
    "[x](javascript:alert(1))",
    "[x](data:text/html,<script>)",
    "[x](vbscript:x) <javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    '```x" onload="alert(1)\n```',
    "`<svg/onload=alert(1)>`",
    "&lt;script&gt; &#60;script&#62;",
    "\x1b]0;evil\x07\x00\u202e\ud83d",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "> " * 3000 + "deep",
]


@pytest.mark.parametrize("evil", HOSTILE)
@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool", "<script>"])
def test_hostile_messages_are_inactive_in_an_html_export(evil: str, role: str) -> None:
    message = Message("1", role, evil, reasoning=evil, tool_calls=(ToolCall("c", evil, evil),))
    meta = {"title": evil, "model": evil, "system": evil}
    harmless(export_thread(Thread("t", ChatState(messages=(message,)), meta), ExportFormat.HTML))


@settings(max_examples=150, deadline=None)
@given(states, st.fixed_dictionaries({"title": texts, "system": texts}))
def test_any_thread_gives_a_harmless_page(state: ChatState, meta: dict[str, str]) -> None:
    harmless(export_thread(Thread("t", state, meta), ExportFormat.HTML))


def harmless(text: str) -> None:
    page = Page(text)
    assert set(page.tags) <= SAFE_TAGS
    assert {name for name, _ in page.attributes} <= SAFE_NAMES
    links = [value for name, value in page.attributes if name == "href"]
    assert not [link for link in links if re.match(r"\s*(javascript|vbscript|file|data):", link)]
    styles = {value for name, value in page.attributes if name == "style"}
    assert styles <= {"text-align:left", "text-align:right", "text-align:center"}
    policies = [value for name, value in page.attributes if name == "content"]
    assert any(policy.startswith("default-src 'none';") for policy in policies)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    text.encode()


def test_a_very_long_message_is_shown_as_it_was_written() -> None:
    text = export_thread(Thread("t", saying("hi", "*x* " * 100_000)), ExportFormat.HTML)
    assert "*x* *x*" in text and "<em>" not in text


@settings(max_examples=150, deadline=None)
@given(states, texts)
def test_markdown_steers_no_terminal_and_keeps_its_headings(state: ChatState, title: str) -> None:
    quiet = tuple(replace(message, content="", reasoning="") for message in state.messages)
    thread = Thread("t", replace(state, messages=quiet), {"title": title})
    text = export_thread(thread, ExportFormat.MARKDOWN)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    headings = [token for token in MarkdownIt().parse(text) if token.type == "heading_open"]
    assert len(headings) == 1 + len(quiet)


PIECES = ["```", "```py", "~~~~", "    ```", "- ```", "> ~~~", "<!--", "-->", "<script>", "<pre>",
          "</pre>", "<?php", "<![CDATA[", "<!A", "<div>", "<details>", "a\n===", "---", "1. x",
          "| a |", "$$", "[a]: b", "\\", "`", "text", "\t", ""]  # fmt: skip


def headings_of(text: str) -> list[str]:
    """Return the headings of messages that are outside of every other block."""
    tokens = MarkdownIt("commonmark").parse(text)
    pairs = pairwise(tokens)
    return [
        each.content for token, each in pairs if (token.type, token.level) == ("heading_open", 0)
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8), st.sampled_from(["\n", "\n\n", "\r\n", " "]))
def test_no_answer_contains_the_messages_after_it(pieces: list[str], between: str) -> None:
    answer = between.join(pieces)
    messages = (Message("1", "user", answer), Message("2", "assistant", answer, reasoning=answer),
                Message("3", "tool", answer), Message("4", "user", "end"))  # fmt: skip
    text = export_thread(Thread("t", ChatState(messages=messages)), ExportFormat.MARKDOWN)
    labels = [heading.split(" (")[0] for heading in headings_of(text)]
    found = [label for label in labels if label in ("You", "Model", "Tool")]
    assert found == ["You", "Model", "Tool", "You"]


@pytest.mark.parametrize(
    "text", ["```\ncode\n```", "<b>a</b>", "<!-- a -->", "- ```\n  a", "a <!-- b"]
)
def test_an_answer_that_is_closed_is_exported_unchanged(text: str) -> None:
    thread = Thread("t", ChatState(messages=(Message("1", "assistant", text),)))
    assert export_thread(thread, ExportFormat.MARKDOWN).endswith(f"## Model\n\n{text}\n")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Why is the sea salty?", "Why is the sea salty.md"),
        ("", "thread.md"),
        ("../../etc/passwd", "etc passwd.md"),
        ("/etc/passwd", "etc passwd.md"),
        ("..", "thread.md"),
        (".hidden", "hidden.md"),
        ("-rf", "rf.md"),
        ("CON", "CON_.md"),
        ("com1.x", "com1_.x.md"),
        ("a\x1b]0;x\x07b\0\n c", "a 0 x b c.md"),
        ("C:\\x", "C x.md"),
        ("Über 図書館", "Über 図書館.md"),
        ("\ud83d", "thread.md"),
        ("हिन्दी क्\u200dष", "हिन्दी क्\u200dष.md"),
        ("می\u200cخ 👩\u200d💻 x", "می\u200cخ x.md"),
        ("❤\ufe0f and \u200dx\u200d", "and x.md"),
    ],
)
def test_a_title_becomes_a_valid_file_name(title: str, name: str) -> None:
    assert file_name(title, ".md") == name


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(), max_size=300))
def test_any_title_gives_a_file_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, title: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "exports"
    folder.mkdir(exist_ok=True)
    path = folder / file_name(title, ".json")
    assert path.resolve().parent == folder.resolve()
    assert not path.name.startswith((".", "-"))
    assert len(path.name.encode()) <= 130
    path.write_text("x")
    assert path.is_file() and Path(path).suffix == ".json"
    path.unlink()
