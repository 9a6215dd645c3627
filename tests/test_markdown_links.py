"""Links from plain text of answers: only web addresses become links."""

import re
from html import unescape

import pytest

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.storage.interchange import ExportFormat, Thread, export_thread
from koel_tui.ui.conversation.links import MarkdownLink, UnsafeLinkError, find_links, validate_url
from koel_tui.ui.transcript.markdown_parser import create_parser
from koel_tui.ui.transcript.rendered_markdown import render_rows
from tests.growth import grows_linearly
from tests.ui.window import opened

NO_LINKS = [
    "README.md", "main.py", "deploy.sh", "lib.rs", "Main.java", "app.ts", "index.py/x",
    "setup.py:12", "docs/guide.md", "./run.sh", "~/notes.md", "C:\\x\\main.py",
    "example.com", "e.g.", "Node.js", "System.in", "object.name", "1.2.3.4", "192.168.0.1/x",
    "localhost:8080", "user@host.example", "git@github.com:o/r.git", "root@10.0.0.1",
    "//cdn.example/x", "javascript:alert(1)",
    "file:///etc/passwd", "data:text/html,x", "mailto:a@example.org", "ftp://example.org/x",
    "ssh://example.org", "http://", "https:// x", "awww.example.org", "www.", "http:\\\\x",
]  # fmt: skip
LINKS = {
    "https://example.org": "https://example.org",
    "HTTP://Example.org/A": "HTTP://Example.org/A",
    "http://localhost:8080/x": "http://localhost:8080/x",
    "www.example.org": "http://www.example.org",
    "WWW.example.org/a?b=c": "http://WWW.example.org/a?b=c",
    "https://example.org/README.md": "https://example.org/README.md",
    "https://en.wikipedia.org/wiki/A_(b)": "https://en.wikipedia.org/wiki/A_(b)",
    "http://[::1]:8080/x": "http://[::1]:8080/x",
    "http://[2001:db8::1]": "http://[2001:db8::1]",
    "http://127.0.0.1:1234": "http://127.0.0.1:1234",
    "https://user@example.org/": "https://user@example.org/",
    "https://example.org/a%20b": "https://example.org/a%20b",
    "https://xn--pple-43d.com/": "https://xn--pple-43d.com/",
    "https://\u0430pple.com/": "https://xn--pple-43d.com/",
}
AROUND = [
    "{}", "See {}.", "See {}, please", "({})", "**{}**", "“{}”", "<p>{}", "{}!", "> {}", "- {}",
    "请看 {}。", "\uff08{}\uff09然后", "{}\uff0c见", "| a |\n|---|\n| {} |", "# {}", "*{}*", '"{}"',
]  # fmt: skip


@pytest.mark.parametrize("around", AROUND)
def test_report_17_names_of_files_and_programs_are_not_links(around: str) -> None:
    for text in NO_LINKS:
        assert find_links(around.format(text)) == [], text


@pytest.mark.parametrize("around", AROUND)
def test_report_17_a_web_address_is_a_link_without_the_punctuation_after_it(around: str) -> None:
    for text, href in LINKS.items():
        assert find_links(around.format(text)) == [MarkdownLink(text, href)], text


def test_report_17_code_has_no_links() -> None:
    assert find_links("`https://e.org` and\n\n```\nwww.e.org\n```\n\n    https://e.org") == []


def test_report_17_a_host_is_shown_as_it_is() -> None:
    text = "https://xn--pple-43d.com/%E2%80%AE <https://xn--pple-43d.com/a%20b>"
    shown = [link.text for link in find_links(text)]
    assert shown == ["https://xn--pple-43d.com/%E2%80%AE", "https://xn--pple-43d.com/a%20b"]
    (cyrillic,) = find_links("https://\u0430pple.com")
    assert validate_url(cyrillic.href).host == "xn--pple-43d.com"


@pytest.mark.parametrize("address", ["javascript:x", "file:///x", "data:,x", "ssh://x", "x.md"])
def test_report_17_an_address_in_markdown_is_not_opened_unless_it_is_of_the_web(
    address: str,
) -> None:
    for link in find_links(f"[text]({address}) <{address}>"):
        with pytest.raises(UnsafeLinkError):
            validate_url(link.href)


def page(text: str) -> str:
    thread = Thread("t", ChatState(messages=(Message("1", "assistant", text),)))
    return export_thread(thread, ExportFormat.HTML)


def test_report_17_the_page_links_to_the_web_only() -> None:
    for text in NO_LINKS:
        assert "<a " not in page(text), text
    for text, href in LINKS.items():
        found = re.findall(r'<a href="([^"]*)">([^<]*)</a>', page(f"See {text}."))
        assert [tuple(map(unescape, each)) for each in found] == [(href, text)], text
    for address in ("README.md", "/etc/passwd", "//host/x", "ms-msdt:/id", "ssh://x", "#x", "x:y"):
        written = f"[text]({address})"
        assert "<a " not in page(written) and written in unescape(page(written)), address
    assert '<a href="mailto:a@e.org">' in page("[mail](mailto:a@e.org)")


async def test_report_17_names_of_files_stay_as_written_in_a_long_answer() -> None:
    rows = await render_rows("Edit README.md and main.py.", 80)
    assert rows[0].text.rstrip() == "Edit README.md and main.py."


async def test_report_17_the_list_of_links_has_no_file() -> None:
    answer = "Edit README.md, | main.py | and https://example.org/lib.rs."
    storage = MemoryStorage()
    said = (Message("u", "user", "Go."), Message("a", "assistant", answer))
    await storage.save("t", ChatState(messages=said))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("README.md")
        row = next(n for n, line in enumerate(window.lines) if "README.md" in line)
        await window.pilot.click(offset=(window.lines[row].index("README.md") + 1, row))
        assert len(window.app.screen_stack) == 1
        await window.press("alt+l")
        await window.sees("esc closes")
        lines = window.screen.count("example.org")
        await window.press("enter")
        await window.sees("The link leads to example.org")
        assert lines >= 1


@pytest.mark.parametrize(
    "piece",
    [
        "https://e.org/a\uff0c www.e.org ", "https://e.org/a\uff0c", "www.", "www.a.", "www.a/",
        "http://a.b/", "http://a@", '"http://a",', "http://a/(", "www.a/http://a.b/",
    ],
)  # fmt: skip
def test_many_addresses_need_a_time_that_grows_with_the_text(piece: str) -> None:
    assert grows_linearly(create_parser().parse, piece, 3000 // len(piece))


def test_a_long_address_and_addresses_within_another_are_links() -> None:
    long = f"https://e.org/{'a/' * 3000}"
    assert find_links(f"{long} www.www.e.org ...www.e.org") == [
        MarkdownLink(long, long),
        MarkdownLink("www.www.e.org", "http://www.www.e.org"),
        MarkdownLink("www.e.org", "http://www.e.org"),
    ]
    nested = "https://web.archive.org/web/https://www.e.org/x"
    assert find_links(nested) == [MarkdownLink(nested, nested)]
    listed = '"https://e.org","https://f.org"'
    assert [link.text for link in find_links(listed)] == ["https://e.org", "https://f.org"]
