"""Tests of links in answers: web addresses can be opened, all others are refused."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from textual.widgets import Markdown

from koel_tui.system.browser import NoBrowserError, browser_command, open_in_browser
from koel_tui.ui.conversation.links import (
    MAX_LENGTH,
    MarkdownLink,
    UnsafeLinkError,
    find_links,
    original_url,
    validate_url,
)
from tests.hostile_summary import Tally
from tests.ui.window import Window, opened

REFUSED = [
    # other schemes, in every spelling
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java%73cript:alert(1)",
    "%6Aavascript:alert(1)",
    "%256Aavascript:alert(1)",
    "vbscript:msgbox",
    "file:///etc/passwd",
    "%66ile:///etc/passwd",
    "file%3a///etc/passwd",
    "data:text/html,<script>",
    "ssh://-oProxyCommand=x",
    "smb://host/share",
    "ms-msdt:/id",
    "tel:112",
    "mailto:a@example.org",
    "ftp://example.org/",
    "x-man-page://ls",
    "view-source:https://example.org",
    "app.quit",
    "@click=app.quit",
    "[@click=app.quit]",
    # links that an opening program would interpret as a file, an option, or another host
    "/etc/passwd",
    "../..",
    "C:\\Windows",
    "-flag",
    "--remote-expr",
    "%2D%2Dflag",
    "//evil/x",
    "www.example.org",
    "",
    "#part",
    "https:example.org",
    "https:/example.org",
    "http%3A//example.org",
    "https%253A%252F%252Fexample.org",
    # no host, or an ambiguous host
    "https://",
    "https:///path",
    "https://user@/path",
    "https://:80/",
    "https://example.org%2Fpath",
    "https://example.org%40evil.example",
    "https://example.org%2540evil.example",
    "https://example.org\\@evil.example",
    "https://-oProxyCommand=x/",
    "https://exa mple.org/",
    "https://exa$(id)mple.org/",
    "https://example.org:port/",
    "https://example.org:99999/",
    "https://[::1",
    # invisible characters
    "https://example.org/\x1b]0;owned\x07",
    "https://example.org/%1b%5d0;owned%07",
    "https://example.org/%251b",
    "https://example.org/a%0d%0aHost:x",
    "https://example.org/%c2%9b31m",
    "https://example.org/\u202egpj.exe",
    "https://example.org/%E2%80%AEgpj.exe",
    "https://example.org/%F3%A0%81%81",
    "https://exam\u200bple.org/",
    " https://example.org/",
    "https://example.org/ x",
    "https://example.org/\n",
    f"https://example.org/{'x' * MAX_LENGTH}",
    f"https://example.org/%{'25' * 20}41",
]

TAKEN = {
    "https://example.org": "example.org",
    "HTTP://Example.ORG/": "Example.ORG",
    "http://localhost:8080/x": "localhost",
    "http://127.0.0.1/": "127.0.0.1",
    "http://[::1]:80/": "[::1]",
    "https://example.org./": "example.org.",
    "https://example.org/a%20b?q=%26&r=a%2Fb#part": "example.org",
    "https://example.org/%F0%9F%98%80": "example.org",
    "https://example.org/?next=https%3A%2F%2Fother.example%2F": "example.org",
    "https://trusted.example@evil.example/": "evil.example",
    "https://trusted.example:443@evil.example:8443/": "evil.example",
    "https://a@b@evil.example/": "evil.example",
    "https://xn--ypal-43d9g.com/": "xn--ypal-43d9g.com",
    "https://bücher.example/": "bücher.example",
    "https://example.org?q=\\x": "example.org",
}


@pytest.mark.parametrize("href", REFUSED)
def test_an_address_that_is_not_a_plain_web_address_is_refused(href: str, tally: Tally) -> None:
    with pytest.raises(UnsafeLinkError) as refused:
        validate_url(href)
    assert str(refused.value).isprintable()
    tally("hostile link", tried=1)


@pytest.mark.parametrize("href", TAKEN)
def test_a_web_address_is_accepted_unchanged(href: str, tally: Tally) -> None:
    link = validate_url(href)
    assert (link.url, link.host) == (href, TAKEN[href])
    tally("hostile link", tried=1)


def test_links_and_images_of_an_answer_are_found_once() -> None:
    text = (
        "See [the *docs*](https://example.org/a%20b), <https://auto.example>,\n"
        "![a picture](https://img.example/x.png) and [again](https://example.org/a%20b).\n\n"
        "| t |\n|---|\n| [cell](file%3a///etc) |\n\n`[code](https://no.example)`"
    )
    assert find_links(text) == [
        MarkdownLink("the docs", "https://example.org/a%20b"),
        MarkdownLink("https://auto.example", "https://auto.example"),
        MarkdownLink("a picture", "https://img.example/x.png"),
        MarkdownLink("cell", "file%3a///etc"),
    ]


def test_a_clicked_address_is_the_one_that_was_written() -> None:
    text = "[x](https://example.org/?u=a%26b)"
    assert original_url(text, "https://example.org/?u=a&b") == "https://example.org/?u=a%26b"
    assert original_url("", "https://example.org/") == "https://example.org/"


def test_a_browser_is_one_of_a_desktop() -> None:
    def here(name: str) -> str:
        return f"/usr/bin/{name}"

    assert browser_command({"DISPLAY": ":0"}, "linux", here) == ("xdg-open",)
    assert browser_command({"WAYLAND_DISPLAY": "w"}, "linux", here) == ("xdg-open",)
    assert browser_command({}, "linux", here) == ()
    assert browser_command({"DISPLAY": ":0"}, "linux", lambda _: None) == ()
    assert browser_command({}, "darwin", here) == ("open",)
    assert browser_command({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, "linux", here) == ()


async def test_the_error_of_a_missing_browser_suggests_copying() -> None:
    with pytest.raises(NoBrowserError, match="Copy the address"):
        await open_in_browser("https://example.org", {})


class Canary:
    """A browser that records the addresses it is asked to open."""

    def __init__(self, folder: Path) -> None:
        self._opened = folder / "opened"
        self._program = folder / "xdg-open"
        self.end_with(0)

    def end_with(self, code: int) -> None:
        self._program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {self._opened}\nexit {code}\n')
        self._program.chmod(0o755)

    @property
    def opened(self) -> list[str]:
        return self._opened.read_text().splitlines() if self._opened.exists() else []


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Canary]:
    for name in ("SSH_CONNECTION", "SSH_TTY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    yield Canary(tmp_path)


async def click(window: Window, words: str) -> None:
    await window.sees(words)
    row = next(n for n, line in enumerate(window.lines) if words in line)
    await window.pilot.click(offset=(window.lines[row].index(words) + 1, row))


async def test_a_clicked_link_is_opened_only_after_confirmation(
    canary: Canary, tally: Tally
) -> None:
    async with opened() as window:
        await window.answered("links", "[docs](https://trusted.example@evil.example/a%20b?u=a%26b)")
        await click(window, "docs")
        await window.sees("The link leads to evil.example")
        await window.sees("https://trusted.example@evil.example/a%20b?u=a%26b")
        await window.press("escape")
        await window.misses("Open this link?")
        assert canary.opened == []
        await click(window, "docs")
        await window.sees("Open this link?")
        await window.press("enter")
        await window.until(lambda: canary.opened != [])
        assert canary.opened == ["https://trusted.example@evil.example/a%20b?u=a%26b"]
        await window.misses("Open this link?")
    tally("hostile link", tried=1)


async def test_a_link_is_chosen_with_keys_and_may_be_copied(canary: Canary) -> None:
    async with opened() as window:
        await window.press("alt+l")
        await window.sees("There is no link in the last answer.")
        await window.answered("links", "[one](https://one.example/) [two](https://two.example/x)")
        await window.press("alt+l")
        await window.sees("two.example")
        await window.press("down", "enter")
        await window.sees("The link leads to two.example")
        await window.press("c")
        await window.sees("Sent the address")
        assert window.app.clipboard == "https://two.example/x"
        assert canary.opened == []


async def test_refused_links_are_listed_with_the_reason_and_cannot_be_chosen(
    canary: Canary, tally: Tally
) -> None:
    async with opened(size=(120, 30)) as window:
        await window.answered("links", "[bad](%66ile:///etc/passwd) [good](https://good.example/)")
        await window.press("alt+l")
        await window.sees("not opened: only http and https are opened")
        await window.press("enter")
        await window.sees("The link leads to good.example")
        await window.press("escape")
        await click(window, "bad")
        await window.sees("This link is not opened: only http and https")
        assert canary.opened == []
    tally("hostile link", tried=2)


async def test_a_refused_address_never_reaches_the_browser(canary: Canary, tally: Tally) -> None:
    async with opened(size=(100, 40)) as window:
        hrefs = [href for href in REFUSED if len(href) < 100]
        for href in hrefs:
            window.transcript.post_message(Markdown.LinkClicked(Markdown(), quote(href)))
        await window.until(lambda: "not opened" in window.screen)
        await window.pilot.pause()
        assert len(window.app.screen_stack) == 1, "no question was asked"
        assert canary.opened == []
    tally("hostile link", tried=len(hrefs))


async def test_a_browser_that_fails_is_reported(canary: Canary) -> None:
    canary.end_with(3)
    async with opened() as window:
        await window.answered("links", "[docs](https://example.org)")
        await click(window, "docs")
        await window.sees("Open this link?")
        await window.press("enter")
        await window.sees("xdg-open ended with 3")


async def test_the_longest_address_is_shown_whole(canary: Canary) -> None:
    host = ".".join(["longer-than-a-line"] * 8) + ".example"
    async with opened(size=(60, 15)) as window:
        await window.answered("links", f"[docs](https://{'u' * 900}@{host}/path)")
        await window.press("alt+l")
        await window.sees("docs")
        await window.press("enter")
        await window.sees("The link leads to")
        panel = [re.sub(r"^[^│]*│|│[^│]*$", "", line) for line in window.lines]
        text = "".join(line.strip(" █▁▂▃▄▅▆▇") for line in panel)
        assert host in text


def test_the_event_loop_keeps_running_while_a_browser_starts(canary: Canary) -> None:
    async def both() -> int:
        beats = 0
        opening = asyncio.create_task(open_in_browser("https://example.org", {"DISPLAY": ":0"}))
        while not opening.done():
            beats += 1
            await asyncio.sleep(0)
        await opening
        return beats

    assert asyncio.run(both()) > 1
