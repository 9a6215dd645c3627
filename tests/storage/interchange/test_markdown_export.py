"""Markdown export: no answer can break the structure of the document."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from koel_tui.markdown_references import separate_references
from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.storage.interchange import ExportFormat, Thread, export_thread
from tests.growth import grows_linearly

SPEAKERS = ("You", "Model", "Tool", "System")


def exported(*answers: str, title: str = "T", system: str = "", reasoning: str = "") -> str:
    """Return the document of a thread with these answers, each after a question."""
    messages: list[Message] = []
    for number, answer in enumerate(answers):
        messages.append(Message(f"q{number}", "user", "Ask."))
        messages.append(Message(f"a{number}", "assistant", answer, reasoning=reasoning))
    messages.append(Message("end", "user", "End."))
    meta = {"title": title, "system": system}
    thread = Thread("t", ChatState(messages=tuple(messages)), meta)
    return export_thread(thread, ExportFormat.MARKDOWN)


def parsed(document: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(document)


def headings(document: str) -> list[tuple[str, str, int]]:
    """Return tag, text and level of each heading."""
    pairs = pairwise(parsed(document))
    return [(a.tag, b.content, a.level) for a, b in pairs if a.type == "heading_open"]


def speakers(document: str) -> list[str]:
    """Return the headings that look like those of messages, in every block."""
    names = [re.split(r"[(,]", text)[0].strip("*_: ") for _, text, _ in headings(document)]
    return [name for name in names if name in SPEAKERS]


class Browser(HTMLParser):
    """A parser that records the elements around each heading of the rendered document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[tuple[str, ...]] = []
        self.feed(MarkdownIt("commonmark").enable("table").render(document))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "h2":
            if self.open[-1:] == ["h2"]:  # a heading closes an open heading
                self.open.pop()
            self.headings.append(tuple(self.open))
        if tag not in ("br", "hr", "img", "p", "li", "td", "th", "tr", "thead", "tbody"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            del self.open[len(self.open) - 1 - self.open[::-1].index(tag)]


OPEN = {
    "fence": "Here:\n```python\nprint(1)",
    "tildes": "Here:\n~~~\nprint(1)",
    "long fence": "````md\n```\ncode\n```",
    "indented fence": "a\n\n   ```\n   code",
    "fence that is half closed": "```python\nprint(1)\n``",
    "fence in a list": "- item\n\n  ```\n  code",
    "fence in a quotation": "> ```\n> code",
    "closed in a list, open outside": "- ```\n  a\n  ```\n```\nb",
    "comment": "a\n\n<!-- open\n\ntext",
    "comment in an element": "<div>\n<!-- open\n\ntext",
    "details": "<details>\n<summary>More</summary>\n\ntext",
    "details and code": "<details>\n\n```\ncode",
    "script": "<script>\nalert(1)\n\n# no",
    "script in an element": "<div>\n<script>\n\nx",
    "style": "<style>\nbody { display: none }",
    "pre": "<pre>\ncode\n\nmore",
    "textarea": "<textarea>\n\nx",
    "bold": "a <b>bold and <i>more",
    "link": "see <a href='https://e.org'>here",
    "tag": "<div class=",
    "attribute": '<div class="a\n\nmore',
    "cdata": "<![CDATA[ a\n\nb",
    "instruction": "<?php\n\necho 1;",
    "declaration": "<!DOCTYPE html",
    "unknown declaration": "<div>\n<![x",
    "plaintext": "<plaintext>\n\nx",
    "formula": "$$\na = b",
    "table": "| a |\n|---|\n| `x",
    "underline": "===",
    "rule": "---",
    "front matter": "---\ntitle: x\n---",
}


@pytest.mark.parametrize("name", OPEN)
def test_report_15_an_open_block_does_not_contain_the_next_messages(name: str) -> None:
    document = exported(OPEN[name], "fine", reasoning=OPEN[name])
    found = [(tag, text) for tag, text, level in headings(document) if level == 0]
    wanted = [("h1", "T")] + [("h2", who) for who in ("You", "Model", "You", "Model", "You")]
    assert [each for each in found if each in wanted] == wanted
    page = Browser(document).headings
    assert not any(page[-1]), document
    for word in re.findall(r"\w+", OPEN[name]):
        assert word in document


@pytest.mark.parametrize(
    "text",
    ["## You", "# Model", "Model\n---", "You\n===", "> ## You", "- ## Model", "###### Tool ##",
     "## **You**", "## You:", "## You, 2026-01-02 03:04 UTC", "## Model (stopped)", "x\n\nYou\n-"],
)  # fmt: skip
def test_report_15_a_heading_like_that_of_a_message_is_shown_as_text(text: str) -> None:
    document = exported(text, reasoning=text)
    assert speakers(document) == ["You", "Model", "You"]
    rendered = MarkdownIt("commonmark").render(document)
    for word in re.findall(r"[\w()]+", text):
        assert word in rendered


@pytest.mark.parametrize("text", ["## Your model", "# Summary\n\ntext", "Title\n---", "## Model 3"])
def test_report_15_other_headings_of_answers_stay_headings(text: str) -> None:
    assert f"\n{text}\n" in exported(text)


@pytest.mark.parametrize("thought", ["===", "a\n---", "|---|", "    x", "- a\n===", "```\nb"])
def test_report_15_thinking_begins_after_its_label(thought: str) -> None:
    document = exported("fine", reasoning=thought, system=thought)
    quotes = [token for token in parsed(document) if token.type == "blockquote_open"]
    assert len(quotes) == 2
    texts = [text for _, text, _ in headings(document)]
    assert not [text for text in texts if text.startswith(("Thinking", "System"))]
    assert speakers(document) == ["You", "Model", "You"]


@pytest.mark.parametrize(
    "title", ["a\nb", "a\n===", "# x", "x #", "<!-- x", "[a]: b", "`", "---", "1. a", "\t", "&lt;"]
)
def test_report_15_a_title_is_one_heading(title: str) -> None:
    found = headings(exported("fine", title=title))
    assert [tag for tag, _, _ in found] == ["h1", "h2", "h2", "h2"]
    text = parsed(exported("fine", title=title))[1]
    shown = "".join(child.content for child in text.children or ())
    assert shown == (" ".join(title.split()) or "Ask.")


def links(document: str) -> list[tuple[str, str]]:
    """Return text and address of each link."""
    found: list[tuple[str, str]] = []
    for token in parsed(document):
        children = token.children or []
        found += [
            (children[n + 1].content, str(child.attrs["href"]))
            for n, child in enumerate(children)
            if child.type == "link_open"
        ]
    return found


def test_report_15_a_definition_of_a_link_applies_to_its_message_only() -> None:
    document = exported(
        "Index x[1] and [Docs].",
        "See [a][1], [1] and [Docs][].\n\n[1]: https://one.example\n[docs]: https://docs.example",
        "See [b][1], `[1]` and [1]: it.\n\n[1]: https://two.example 'T'\n\n~~~\n[1]\n~~~",
        "See [c][1] and ![d][1].\n\n[1]: https://two.example 'T'",
    )
    assert links(document) == [
        ("a", "https://one.example"), ("1", "https://one.example"),
        ("Docs", "https://docs.example"),
        ("b", "https://two.example"), ("1", "https://two.example"),
        ("c", "https://two.example"),
    ]  # fmt: skip
    assert "`[1]`" in document and "~~~\n[1]\n~~~" in document
    shown = MarkdownIt("commonmark").render(document)
    assert "Index x[1] and [Docs]." in shown and 'src="https://two.example"' in shown


def test_report_15_equal_definitions_of_a_link_stay_as_written() -> None:
    answer = "See [a][1].\n\n[1]: https://one.example"
    assert exported(answer, answer).count(answer) == 2


def test_brackets_need_a_time_that_grows_with_the_text() -> None:
    assert grows_linearly(lambda text: separate_references([text]), "[", 2000)


def test_escaped_brackets_need_a_time_that_grows_with_the_text() -> None:
    text = "[1]: https://e.org\n\n[1] ["
    assert grows_linearly(lambda more: separate_references([text + more]), "\\[", 500)


def test_definitions_need_a_time_that_grows_with_the_messages() -> None:
    def separate(rows: str) -> list[str]:
        labels = "\n".join(f"[{n}]: https://e.org" for n in range(len(rows)))
        return separate_references([labels, *rows * 8])

    assert grows_linearly(separate, "x", 300)


def test_many_messages_that_define_a_label_get_one_each() -> None:
    answers = [f"[a][1]\n\n[1]: https://e.org/{n}" for n in range(12)]
    assert links(exported(*answers)) == [("a", f"https://e.org/{n}") for n in range(12)]


def test_report_15_a_markdown_note_belongs_to_its_message() -> None:
    document = exported(
        "One[^1].\n\n[^1]: first note",
        "Two[^1] and `[^1]`.\n\n[^1]: second note",
        "The pattern [^1] is no note.",
    )
    assert "One[^1].\n\n[^1]: first note" in document
    assert "Two[^1-2] and `[^1]`.\n\n[^1-2]: second note" in document
    assert "The pattern \\[^1] is no note." in document


def test_report_15_tool_calls_and_results_are_code() -> None:
    evil = "```\n## You\n<!--"
    messages = (
        Message("a", "assistant", "", tool_calls=(ToolCall("c", "## You\n<!--", evil),)),
        Message("t", "tool", evil, tool_call_id="c"),
        Message("u", "user", "End."),
    )
    thread = Thread("t", ChatState(messages=messages))
    document = export_thread(thread, ExportFormat.MARKDOWN)
    assert speakers(document) == ["Model", "Tool", "You"]
    code = [token.content for token in parsed(document) if token.type == "fence"]
    assert code == [f"{evil}\n", f"{evil}\n"]


@pytest.mark.parametrize("name", OPEN)
def test_report_15_a_page_has_each_message_in_its_own_article(name: str) -> None:
    answer = OPEN[name]
    messages = tuple(
        Message(f"{number}", role, answer, reasoning=answer)
        for number, role in enumerate(("user", "assistant", "tool", "assistant"))
    )
    page = export_thread(Thread("t", ChatState(messages=messages)), ExportFormat.HTML)
    articles = [part.partition("</article>") for part in page.split("<article>")[1:]]
    assert len(articles) == 4 and all(end for _, end, _ in articles)
    assert not [text for text, _, _ in articles if re.search(r"<(script|style|pre>\s*x)", text)]


PIECES = [
    "```", "```py", "~~~~", "    ```", "- ```", "> ~~~", "<!--", "-->", "<script>", "</script>",
    "<pre>", "<?php", "<![CDATA[", "<!A", "<div>", "</div>", "<details>", "<b>", "<a href='",
    "<div class=\"", "\">", "<title>", "a\n===", "You\n---", "## You", "# Model", "---", "1. x",
    "| a |", "|---|", "$$", "[1]: https://e.org", "[1]", "[^1]: n", "\\", "`", "word", "\t", "",
]  # fmt: skip


answers = st.builds(
    str.join,
    st.sampled_from(["\n", "\n\n", "\r\n", " "]),
    st.lists(st.sampled_from(PIECES), max_size=8),
)


@settings(max_examples=25, deadline=None)
@given(answers)
def test_report_15_every_heading_of_a_message_is_one_and_no_other(answer: str) -> None:
    check_headings(answer)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(answers)
def test_report_15_every_heading_of_any_message_is_one_and_no_other(answer: str) -> None:
    check_headings(answer)


def check_headings(answer: str) -> None:
    """Check the document of a thread in which every text is `answer`."""
    document = exported(answer, answer, reasoning=answer, system=answer)
    assert speakers(document) == ["You", "Model", "You", "Model", "You"]
    assert not any(Browser(document).headings[-1]), document
    assert document.count("word") >= answer.count("word") * 4


def test_report_15_a_long_conversation_is_exported_in_time() -> None:
    answer = "Text with `code` and [1].\n\n```python\nprint('<b>')\n```\n\n" * 20
    document = exported(*[answer] * 20, "See [1].\n\n[1]: https://e.org")
    assert speakers(document).count("Model") == 21
