"""The file of sent prompts: it survives restarts, is bounded, private and shared by programs."""

import json
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.conversation.drafts import Draft
from koel_tui.conversation.prompt_history import PromptHistory
from koel_tui.workspace import prompt_history_file
from koel_tui.workspace.prompt_history_file import MAX_BYTES, MAX_ENTRIES, PromptHistoryFile
from tests.ui.window import opened

FOLDED = "[pasted 120 lines #1]"
LONG = "\n".join(f"line {n}" for n in range(120))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


@pytest.fixture
def history(path: Path) -> PromptHistoryFile:
    return PromptHistoryFile(path)


def test_appended_drafts_are_read_in_order(history: PromptHistoryFile) -> None:
    drafts = [Draft("one"), Draft("two\nlines \ud83d 漢"), Draft(FOLDED, {FOLDED: LONG})]
    for draft in drafts:
        history.append(draft)
    assert history.read() == drafts


def test_a_missing_history_file_is_an_empty_history(history: PromptHistoryFile) -> None:
    assert history.read() == []


def test_only_the_owner_can_read_it(history: PromptHistoryFile, path: Path) -> None:
    history.append(Draft("secret"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for n in range(MAX_ENTRIES):
        history.append(Draft(str(n)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=5))
def test_damaged_lines_are_left_out(
    tmp_path_factory: pytest.TempPathFactory, bad: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    good = b'{"text": "good"}'
    path.write_bytes(b"\n".join(line for each in bad for line in (each, good)))
    assert [draft.text for draft in PromptHistoryFile(path).read()].count("good") == len(bad)


def test_a_line_truncated_by_a_kill_is_the_only_line_lost(
    history: PromptHistoryFile, path: Path
) -> None:
    history.append(Draft("whole"))
    with path.open("ab") as file:
        file.write(b'{"text": "cut o')
    history.append(Draft("after"))
    assert [draft.text for draft in history.read()] == ["whole", "after"]
    path.write_bytes(b"[" * 100_000 + b"\n" + b'{"text": "deep"}')
    assert [draft.text for draft in history.read()] == ["deep"]


def test_the_file_stays_bounded_and_the_newest_stay(history: PromptHistoryFile, path: Path) -> None:
    for n in range(MAX_ENTRIES + 10):
        history.append(Draft(str(n)))
    kept = [int(draft.text) for draft in history.read()]
    assert MAX_ENTRIES // 2 <= len(kept) <= MAX_ENTRIES
    assert kept == list(range(kept[0], MAX_ENTRIES + 10))
    for n in range(20):
        history.append(Draft(str(n) * 60_000))
    assert path.stat().st_size <= MAX_BYTES
    assert history.read()[-1].text.startswith("19")


def test_a_prompt_too_large_is_not_kept(history: PromptHistoryFile) -> None:
    history.append(Draft("small"))
    history.append(Draft("x" * MAX_BYTES))
    assert history.read() == [Draft("small")]


def test_a_history_file_that_is_a_link_is_not_followed(
    history: PromptHistoryFile, path: Path
) -> None:
    target = path.with_name("target")
    target.write_text("mine")
    path.symlink_to(target)
    with pytest.raises(OSError, match=r".+"):
        history.append(Draft("x"))
    assert target.read_text() == "mine"


def test_programs_that_append_at_once_lose_nothing_even_while_the_file_is_cut(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from koel_tui.workspace import prompt_history_file as h\n"
        "from koel_tui.conversation.drafts import Draft\n"
        "h.MAX_ENTRIES = 400\n"
        "file = h.PromptHistoryFile(Path(sys.argv[1]))\n"
        "for n in range(150): file.append(Draft(f'{sys.argv[2]}-{n}'))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name]) for name in "ABC"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    texts = [draft.text for draft in PromptHistoryFile(path).read()]
    assert len(texts) == len(set(texts)) >= 200
    for name in "ABC":
        mine = [int(text[2:]) for text in texts if text[0] == name]
        assert mine == list(range(150 - len(mine), 150)), "one is missing among the newest"


def test_an_append_waits_while_another_program_cuts_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_history_file, "MAX_ENTRIES", 4)
    cutting, may_end = threading.Event(), threading.Event()

    class Slow(PromptHistoryFile):
        def _rewrite(self, lines: list[bytes]) -> None:
            cutting.set()
            may_end.wait(10)
            super()._rewrite(lines)

    for n in range(3):
        PromptHistoryFile(path).append(Draft(str(n)))
    cutter = threading.Thread(target=Slow(path).append, args=[Draft("cutter")])
    other = threading.Thread(target=PromptHistoryFile(path).append, args=[Draft("other")])
    cutter.start()
    assert cutting.wait(10)
    other.start()
    other.join(0.2)  # without the lock, the write happens here and is overwritten afterwards
    may_end.set()
    cutter.join(10)
    other.join(10)
    assert [draft.text for draft in PromptHistoryFile(path).read()][-2:] == ["cutter", "other"]


def test_earlier_prompts_come_before_those_of_this_window() -> None:
    past = PromptHistory(["new"])
    assert past.move(-1, "typed") == "new"
    past.prepend(["old", "older"])
    assert past.move(-1, "new") == "older"
    assert past.texts == ["old", "older", "new"]


async def test_up_shows_the_prompts_of_an_earlier_run(tmp_path: Path) -> None:
    async with opened(home=tmp_path) as window:
        await window.type("a")
        await window.press("enter", "up", "enter")
        await window.type(LONG)
        await window.press("enter")
        await window.until(lambda: bool(window.agent.turns))
        await window.press("ctrl+q")
        await window.until(lambda: not window.app.is_running)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["a", FOLDED]
    async with opened(home=tmp_path) as window:
        await window.prompts(f"a\n\n{FOLDED}")  # the draft that could not be sent
        await window.press("ctrl+n")
        await window.prompts("")
        await window.press("up")
        await window.prompts(FOLDED)
        await window.press("up")
        await window.prompts("a")


async def test_a_history_that_cannot_be_written_is_reported_and_does_not_stop_the_user(
    tmp_path: Path,
) -> None:
    (tmp_path / "history.jsonl").mkdir()
    async with opened(home=tmp_path) as window:
        await window.tells("cannot be saved")
        await window.ask("still sent")


def test_the_bounds_leave_room_for_the_largest_entry() -> None:
    assert prompt_history_file._MAX_ENTRY < MAX_BYTES // 2
