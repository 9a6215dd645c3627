"""Tests of attached text files: search, reading, token counts, refusal, sending and saving."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.cells import cell_len
from textual import events

from koel_tui.conversation.drafts import parse_draft
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.ui.composer import file_prompt
from koel_tui.ui.composer.attachments import (
    MAX_BYTES,
    Attachment,
    AttachmentError,
    dropped_files,
    prompt_text,
    read_text,
    sanitize_name,
)
from tests.hostile import EVERYTHING
from tests.ui.composer.conftest import NOTES
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened

SENT = f"notes.txt:\n```\n{NOTES}```\n"
TOKEN = "[notes.txt · 15 tokens #1]"  # noqa: S105 - the text in the prompt
ESTIMATED = f"[notes.txt · ~{-(-len(SENT) // 4)} tokens #1]"


class CountingAgent(ScriptedAgent):
    """Counts tokens with a function that the test sets."""

    count: Callable[[str], int] = staticmethod(lambda text: 15)

    async def count_tokens(self, text: str) -> int | None:
        return self.count(text)


async def types(window: Window, text: str) -> None:
    """Press the keys of `text` without a pause."""
    for char in text:
        key = {"@": "at", "\n": "enter", " ": "space"}.get(char, char)
        window.app.post_message(events.Key(key, None if char == "\n" else char))
    await window.handled()


async def sent(window: Window) -> object:
    await window.until(lambda: bool(window.agent.turns), "a run")
    return window.agent.turns[0].prompt


class TestReading:
    def test_attached_text_is_unchanged_except_for_its_line_ends(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes("\ufeffé\r\nb\rc\x1b[0m".encode())
        assert read_text(path, "a") == "é\nb\nc\x1b[0m"

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "is empty"),
            (b"a\0b", "NUL bytes"),
            ("é".encode("latin-1"), "not UTF-8 text"),
            (b"x" * (MAX_BYTES + 7), r"1\.0 MB is the maximum"),
        ],
    )
    def test_an_attachment_that_is_not_text_is_refused_by_name(
        self, tmp_path: Path, content: bytes, why: str
    ) -> None:
        path = tmp_path / "a"
        path.write_bytes(content)
        with pytest.raises(AttachmentError, match=f"^The name .*{why}"):
            read_text(path, "The name")

    def test_an_attachment_that_is_not_a_regular_file_is_refused_at_once(
        self, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path, tmp_path / "pipe", tmp_path / "none", tmp_path / "a\0b"):
            with pytest.raises(AttachmentError):
                read_text(path, "it")


class TestFraming:
    def test_no_text_ends_its_frame(self) -> None:
        assert prompt_text("a.md", "x\n````\ny") == "a.md:\n`````\nx\n````\ny\n`````\n"

    def test_a_hostile_name_makes_a_token_that_is_found_again(self) -> None:
        names = (EVERYTHING, "a[b]#3]\x1b[31m\n.txt", "\udcff\u202e", "m" + "\u0301" * 30, "")
        for name in (*names, ("a" + "\u0301" * 3) * 25):
            attached = Attachment(sanitize_name(name), "text", 1_234, counted=False)
            pastes = PastePlaceholders()
            token = pastes.attach(attached.label, attached.prompt_text)
            assert cell_len(token) < 60 and token.count("[") == token.count("]") == 1
            draft = parse_draft(pastes.draft(f"see {token}").to_json())
            again = PastePlaceholders()
            assert again.expand(again.import_draft(draft)) == f"see {attached.prompt_text}"

    def test_files_of_one_name_are_distinguished(self) -> None:
        pastes = PastePlaceholders()
        first, second = (Attachment("a", text, 3, counted=True) for text in ("x", "y"))
        tokens = [pastes.attach(each.label, each.prompt_text) for each in (first, second, first)]
        assert tokens == ["[a · 3 tokens #1]", "[a · 3 tokens #2]", "[a · 3 tokens #1]"]


class TestDropped:
    def test_paths_are_known_in_every_form_terminals_give_them(self, folder: Path) -> None:
        notes, deep = folder / "notes.txt", folder / "sub dir" / "my notes.md"
        for text in (
            f"{notes}", f"{notes} ", f"{notes}\n", f"'{notes}'", f'"{notes}"', f"file://{notes}",
        ):  # fmt: skip
            assert dropped_files(text) == (notes,), text
        for text in (
            f"{notes}\n{deep}", f"{notes} '{deep}'", f"{notes} " + f"{deep}".replace(" ", "\\ "),
            f"file://{notes}\nfile://localhost{quote(str(deep))}\n",
        ):  # fmt: skip
            assert dropped_files(text) == (notes, deep), text
        assert dropped_files(str(deep)) == (deep,)

    def test_the_path_of_a_file_from_home_is_known(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(folder))
        assert dropped_files("~/notes.txt") == (folder / "notes.txt",)

    def test_other_text_stays_text(self, folder: Path) -> None:
        for text in (
            "", "notes.txt", "/", f"{folder}", f"{folder}/none", f"read {folder}/notes.txt",
            f"{folder}/notes.txt please", "'", "file:", "file://[", "/" + "x" * 5000, "/\0",
            "/" + "x" * 300,
        ):  # fmt: skip
            assert dropped_files(text) == (), text


async def test_a_file_is_found_by_typed_letters_and_sent_whole(folder: Path) -> None:
    async with opened(agent=CountingAgent()) as window:
        await window.connected()
        await types(window, "Read @")
        await window.sees("sub dir/my notes.md")
        assert "photo" not in window.screen and "hidden" not in window.screen
        await types(window, "NOT")
        await window.misses("big.log")
        await window.press("enter")
        await window.prompts(f"Read {TOKEN} ")
        await window.misses("my notes.md")
        Path("notes.txt").write_text("changed")
        await types(window, "please\n")
        assert await sent(window) == f"Read {SENT} please"
        await window.press("up")
        await window.prompts(f"Read {TOKEN} please")
        await window.press("backspace", "ctrl+w", "backspace", "backspace")
        await window.prompts("Read ")


async def test_fast_typing_attaches_the_right_file_before_the_list_appears(folder: Path) -> None:
    async with opened(agent=CountingAgent()) as window:
        await window.connected()
        await types(window, "@my\n and @not\n!\n")
        attached = "sub dir/my notes.md:\n```\ndeep\n```\n"
        assert await sent(window) == f"{attached}  and {SENT} !"


async def test_arrows_choose_a_file(folder: Path) -> None:
    async with opened() as window:
        await types(window, "@")
        await window.press("down", "down", "up", "up", "up", "tab")
        await window.prompts("[my notes.md · ~9 tokens #1] ")
        assert window.prompt.has_focus


async def test_a_disk_that_does_not_answer_leaves_the_prompt_to_the_user(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(file_prompt, "_SEARCH_TIMEOUT", 0.05)
    monkeypatch.setattr(file_prompt, "text_files", lambda _: answers.wait(20) and [])
    try:
        async with opened() as window:
            await types(window, "Read @notes\n")
            await window.sees("The file search takes")
            await types(window, " now")
            await window.prompts("Read @notes now")
            assert not window.agent.turns
            answers.set()
    finally:
        answers.set()


async def test_escape_leaves_the_at_as_it_was_typed(folder: Path) -> None:
    async with opened() as window:
        await types(window, "@no")
        await window.sees("enter attaches")
        await window.press("escape")
        await window.misses("enter attaches")
        await types(window, "t\n")
        assert await sent(window) == "@not"


async def test_an_at_sign_without_a_file_is_text(folder: Path) -> None:
    async with opened() as window:
        await types(window, "me@not @nobody at @ noon @no")
        await window.press("home", "end")
        await types(window, "\n")
        assert await sent(window) == "me@not @nobody at @ noon @no"


async def test_a_file_that_is_too_large_is_refused_with_both_numbers(folder: Path) -> None:
    agent = CountingAgent()
    agent.count = len
    async with opened(agent=agent) as window:
        await window.connected()
        await types(window, "@big\n")
        await window.sees("45,017")
        await window.sees("8,192.")
        await window.prompts("@big")
        assert not agent.turns


async def test_the_size_of_an_uncounted_file_is_an_estimate(folder: Path) -> None:
    async with opened() as window:
        await types(window, "@big\n")
        await window.sees("11,255")
        await types(window, " @notes\n")
        await window.prompts(f"@big {ESTIMATED} ")


async def test_an_agent_that_fails_to_count_leaves_an_estimate(folder: Path) -> None:
    def fail(text: str) -> int:
        raise RuntimeError("no")

    agent = CountingAgent()
    agent.count = fail
    async with opened(agent=agent) as window:
        await window.connected()
        await types(window, "@notes\n")
        await window.prompts(f"{ESTIMATED} ")


async def test_dropped_files_are_attached_or_stay_paths(folder: Path) -> None:
    path = f"{folder}/sub dir/my notes.md"
    async with opened(size=(60, 15), agent=CountingAgent()) as window:
        await window.connected()
        await window.type(f"'{path}' {folder}/notes.txt ")
        await window.sees("enter attaches · esc keeps the path as text")
        assert all(cell_len(line) == 60 for line in window.lines)
        await window.press("escape")
        await window.misses("enter attaches")
        await window.prompts(f"'{path}' {folder}/notes.txt ")
        await window.press("ctrl+n")
        await window.type("See ")
        await window.type(f"{path}")
        await window.sees("enter attaches")
        await window.press("enter")
        await window.prompts("See [my notes.md · 15 tokens #1] ")
        await window.press("enter")
        assert await sent(window) == "See my notes.md:\n```\ndeep\n```\n "


async def test_a_dropped_path_followed_by_typed_text_is_text(folder: Path) -> None:
    async with opened() as window:
        await window.type(f"{folder}/notes.txt")
        await window.sees("enter attaches")
        await types(window, "?\n")
        assert await sent(window) == f"{folder}/notes.txt?"


async def test_a_binary_file_is_refused_and_nothing_of_several_is_attached(folder: Path) -> None:
    async with opened(size=(120, 30)) as window:
        await window.type(f"{folder}/notes.txt {folder}/photo.png")
        await window.sees("enter attaches")
        await window.press("enter")
        await window.sees("photo.png is not a text file")
        await window.prompts(f"{folder}/notes.txt {folder}/photo.png")


async def test_hostile_files_are_harmless_where_they_are_named(folder: Path) -> None:
    (folder / "sub dir" / "my notes.md").unlink()
    (folder / "evil\x1b[2J\n[b]\u202e].txt").write_text("\x1b[2J[/x]")
    async with opened(agent=CountingAgent()) as window:
        await window.connected()
        await types(window, "@evil")
        await window.sees("evil␛[2J [b]⟦RLO⟧].txt")
        assert "\x1b" not in window.screen
        await types(window, "\n")
        await window.prompts("[evil␛(2J (b)⟦RLO⟧).txt · 15 tokens #1] ")
        whole = window.prompt.whole_text
        assert "\x1b[2J[/x]" in whole
        window.prompt.replace_whole_text(whole)  # as the external editor does
        await window.prompts("[evil␛(2J (b)⟦RLO⟧).txt · 15 tokens #1] ")
        await types(window, "\n")
        assert await sent(window) == whole
        await window.reads("evil␛[2J")
        assert "\x1b" not in window.screen


async def test_a_file_in_a_draft_survives_the_end_of_the_window(
    folder: Path, tmp_path: Path
) -> None:
    async with opened(agent=CountingAgent(), home=tmp_path / "state") as window:
        await window.connected()
        await types(window, "Read @notes\n")
        await window.prompts(f"Read {TOKEN} ")
        await window.press("ctrl+q")
        await window.until(lambda: not window.app.is_running)
    Path("notes.txt").unlink()
    async with opened(home=tmp_path / "state") as window:
        await window.prompts(f"Read {TOKEN} ")
        await window.press("enter")
        assert await sent(window) == f"Read {SENT} "


async def test_restored_text_cancels_the_offer_to_attach_dropped_files(folder: Path) -> None:
    async with opened() as window:
        turn = await window.ask("One")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        await window.type(f"{folder}/notes.txt")
        await window.sees("enter attaches")
        turn.fail("broken")
        await window.prompts(f"Two\n\n{folder}/notes.txt")
        await window.misses("enter attaches")
        await window.press("enter")
        await window.until(lambda: len(window.agent.turns) == 2)
        assert window.agent.turns[1].prompt == f"Two\n\n{folder}/notes.txt"


async def test_the_file_picker_of_a_tab_is_not_shown_in_the_next_tab(folder: Path) -> None:
    async with opened() as window:
        await types(window, "@no")
        await window.sees("enter attaches")
        await window.press("ctrl+n")
        await window.misses("enter attaches")
        await window.press("alt+1")
        await window.prompts("@no")


async def test_the_list_fits_a_small_window(folder: Path) -> None:
    for number in range(12):
        (folder / f"name {number} {'x' * 90}").write_text("x")
    async with opened(size=(60, 15)) as window:
        await types(window, "@")
        await window.sees("tab attaches · enter sends")
        await window.until(lambda: any("big.log" in line for line in window.lines[:4]))
        assert all(cell_len(line) == 60 for line in window.lines)
        assert window.lines[0].startswith(" 1 New thread")
