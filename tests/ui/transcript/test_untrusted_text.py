"""Tests that text from models and files is not markup and reaches the terminal sanitized."""

from collections.abc import Iterator

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import MemoryStorage
from koel_tui.ui.transcript import markdown_parser
from tests.ui.window import Window, opened

ESC = "\x1b]0;owned\x1b\\\x9b31m\x07"
MARKUP = ["[/x]", "[@click=app.quit]x[/]", "[bold]b[/bold]", "[", "[[", "\\[", "[red", "$x"]


def rendered(window: Window) -> Iterator[str]:
    """Yield every row that is written to the terminal, including styles and links."""
    for screen in window.app.screen_stack:
        for strip in screen._compositor.render_strips():
            yield strip.render(window.app.console)


def assert_no_foreign_escape(window: Window) -> None:
    for line in rendered(window):
        for part in line.split("\x1b")[1:]:
            assert part.startswith("["), f"not one of ours: {part[:20]!r}"
        assert not set(line) & {"\x07", "\x9b", "\x90", "\x9d"}
        assert "]0;owned" not in line or "\x1b]0;owned" not in line


async def test_text_that_looks_like_markup_is_shown_literally() -> None:
    async with opened(size=(120, 30)) as window:
        for text in MARKUP:
            turn = await window.ask(f"mine {text} end")
            turn.write(f"`model {text} end`")
            turn.fail(f"error {text} end")
            await window.reads(f"error {text} end")
            await window.reads(f"mine {text} end")
            await window.reads(f"model {text} end")
            await window.sees(f" mine {text}"[:17])  # the label of its tab
            await window.press("ctrl+n")
        await window.press("ctrl+o")
        await window.sees("esc closes")
        for text in MARKUP:
            await window.sees(f"mine {text} end")


async def test_no_control_byte_of_a_model_reaches_the_screen() -> None:
    async with opened() as window:
        turn = await window.ask(f"ask {ESC} asked")
        text = f"plain {ESC} text `code {ESC}`\n\n```python\n# {ESC}\n```\n\n[l {ESC}](x) "
        for character in text:
            turn.write(character)
        turn.write("&#27;]0;owned &#x202e; end")
        await window.sees("end")
        assert_no_foreign_escape(window)
        turn.fail(f"failed {ESC} badly")
        await window.sees("badly")
        assert_no_foreign_escape(window)
        assert "\u202e" not in window.screen
        await window.press("ctrl+o")
        await window.sees("esc closes")
        assert_no_foreign_escape(window)


async def test_a_hostile_title_and_a_hostile_save_error_are_harmless() -> None:
    class Failing(MemoryStorage):
        async def save(self, thread_id: str, state: ChatState) -> None:
            raise OSError(f"disk {ESC} [/x] gone")

    async with opened(storage=Failing()) as window:
        (await window.ask("x")).finish()
        await window.until(lambda: "NOT SAVED" in window.status)
        await window.sees("[/x] gone")
        assert_no_foreign_escape(window)


async def test_pasted_control_bytes_do_not_stay_in_the_prompt() -> None:
    async with opened() as window:
        await window.type(f"a{ESC}b\r\nc\rd")
        assert window.prompt.text == "a␛]0;owned␛\\\ufffd31m␇b\nc\nd"
        assert_no_foreign_escape(window)


async def test_copied_text_is_sanitized() -> None:
    async with opened() as window:
        window.app.copy_to_clipboard("a\x1bb\ud800")
        assert window.app.clipboard == "a␛b\ufffd"


async def test_report_19_windows_line_ends_are_copied_and_shown_without_a_mark() -> None:
    async with opened() as window:
        turn = await window.ask("a")
        turn.write("one\r")
        turn.write("\ntwo\r\n\r\n```\r\ncode\r\n```\r\n")
        turn.finish()
        await window.sees("two")
        assert "␍" not in window.screen
        window.app.copy_to_clipboard("a\r\nb\r\n")
        assert window.app.clipboard == "a\nb\n"


async def test_a_link_is_reported_not_opened() -> None:
    async with opened(size=(80, 24)) as window:
        opened_urls: list[str] = []
        window.app.open_url = lambda url, *, new_tab=True: opened_urls.append(url)  # type: ignore[method-assign]  # records calls
        turn = await window.ask("Link")
        turn.write("[docs](https://example.org/%1b%5d0;x?[/b])")
        turn.finish()
        await window.sees("docs")
        row = next(n for n, line in enumerate(window.lines) if "docs" in line)
        await window.pilot.click(offset=(window.lines[row].index("docs") + 1, row))
        await window.sees("https://example.org/")
        assert opened_urls == []
        assert_no_foreign_escape(window)


def test_html_stays_visible() -> None:
    tokens = markdown_parser.create_parser().parse("<div>kept</div>\n\na <b>bold</b> word")
    text = "".join(child.content for token in tokens for child in token.children or ())
    assert "<div>kept</div>" in text
    assert "<b>bold</b>" in text


async def test_messages_of_other_roles_are_plain_or_left_out() -> None:
    storage = MemoryStorage()
    state = ChatState(
        messages=(
            Message("s", "system", "hidden instructions"),
            Message("u", "user", "asked"),
            Message("t", "tool", "[bold]result[/bold] **x**"),
        )
    )
    await storage.save("roles", state)
    async with opened(storage=storage, thread="roles") as window:
        await window.sees("[bold]result[/bold] **x**")
        assert "hidden instructions" not in window.screen
