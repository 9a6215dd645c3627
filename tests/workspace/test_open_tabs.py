"""The list of open tabs as a value, and its files with several windows."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.conversation.drafts import Draft
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs, decode
from koel_tui.workspace.open_tabs_file import OpenTabsFile

FOLDED = "[pasted 120 lines #1]"

drafts = st.builds(Draft, st.text(), st.sampled_from([{}, {FOLDED: "long"}]))
tabs = st.builds(OpenTab, st.none() | st.text(), st.text(), drafts)
windows = st.lists(tabs, max_size=4).flatmap(
    lambda each: st.builds(OpenTabs, st.just(tuple(each)), st.integers(0, max(0, len(each) - 1)))
)


def of(*threads: str, active: int = 0) -> OpenTabs:
    return OpenTabs(tuple(OpenTab(name, name.upper(), Draft()) for name in threads), active)


class TestOpenTabs:
    @given(windows)
    def test_encoded_tabs_round_trip(self, kept: OpenTabs) -> None:
        assert decode(kept.encode()) == kept

    @given(st.binary())
    def test_bytes_are_a_list_or_a_value_error(self, data: bytes) -> None:
        with pytest.raises(ValueError, match=r"."):
            decode(data)

    @pytest.mark.parametrize(
        "value",
        [
            None, [], {}, {"format": "koel-chat/thread"},
            {"format": "koel-chat/tabs", "tabs": 1, "active": 0},
            {"format": "koel-chat/tabs", "tabs": [], "active": "0"},
            {"format": "koel-chat/tabs", "tabs": [1], "active": 0},
            {"format": "koel-chat/tabs", "tabs": [{"thread": 1, "title": ""}], "active": 0},
            {"format": "koel-chat/tabs", "tabs": [{"thread": "a", "title": "b"}], "active": 0},
        ],
    )  # fmt: skip
    def test_json_that_is_not_a_list_of_tabs_is_a_value_error(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"not a|no draft"):
            decode(json.dumps(value).encode())

    def test_nesting_without_end_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="deep"):
            decode(b"[" * 200_000)

    def test_draft_text_is_kept_without_its_unreadable_tokens(self) -> None:
        pasted = {FOLDED: "long", "[ #1 ": "no token", f"[{'x' * 99} #2]": "too long"}
        draft = {"text": f"see {FOLDED}", "pasted": pasted}
        tabs = [{"thread": None, "title": "", "draft": draft}]
        kept = decode(json.dumps({"format": "koel-chat/tabs", "tabs": tabs, "active": 0}).encode())
        assert kept.tabs[0].draft == Draft(f"see {FOLDED}", {FOLDED: "long"})

    @pytest.mark.parametrize(("active", "kept"), [(-5, 0), (1, 1), (7, 1)])
    def test_an_active_tab_out_of_range_becomes_the_nearest_tab(
        self, active: int, kept: int
    ) -> None:
        assert decode(OpenTabs(of("a", "b").tabs, active).encode()).active == kept

    def test_a_thread_is_open_once_and_no_words_are_lost(self) -> None:
        there = of("a", "b", active=1)
        others = OpenTabs(
            (
                OpenTab("b", "B", Draft("more")),
                OpenTab("a", "A", Draft()),
                OpenTab(None, "", Draft("note")),
                OpenTab("c", "C", Draft()),
            ),
            3,
        )
        joined = there.merge(others)
        assert [(tab.thread_id, tab.draft.text) for tab in joined.tabs] == [
            ("a", ""), ("b", ""), (None, "more"), (None, "note"), ("c", ""),
        ]  # fmt: skip
        assert joined.active == 1
        assert OpenTabs().merge(there) == there


class TestTabsFile:
    def test_the_next_window_restores_the_tabs_of_the_last_one(self, tmp_path: Path) -> None:
        first = OpenTabsFile(tmp_path)
        assert first.open() == OpenTabs()
        first.write(of("a", "b", active=1))
        first.close()
        assert OpenTabsFile(tmp_path).open() == of("a", "b", active=1)

    def test_only_the_owner_can_read_it(self, tmp_path: Path) -> None:
        kept = OpenTabsFile(tmp_path)
        kept.open()
        kept.write(of("a"))
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("tabs*")}
        assert modes == {0o600}

    def test_a_second_window_takes_nothing_from_the_first(self, tmp_path: Path) -> None:
        first, second = OpenTabsFile(tmp_path), OpenTabsFile(tmp_path)
        first.open()
        first.write(of("a"))
        assert second.open() == OpenTabs()
        second.write(of("b"))
        first.write(of("a", "c"))
        for each in (first, second):
            each.close()
        assert OpenTabsFile(tmp_path).open().tabs == of("a", "c", "b").tabs

    def test_tabs_of_a_window_that_is_gone_are_taken_over_once(self, tmp_path: Path) -> None:
        first, second = OpenTabsFile(tmp_path), OpenTabsFile(tmp_path)
        first.open()
        second.open()
        second.write(of("b"))
        second.close()
        third = OpenTabsFile(tmp_path)
        assert third.open() == of("b")
        assert OpenTabsFile(tmp_path).open() == OpenTabs()
        first.close()
        third.close()
        assert OpenTabsFile(tmp_path).open() == of("b")

    def test_a_damaged_list_is_kept_and_reported(self, tmp_path: Path) -> None:
        path = tmp_path / "tabs-1.json"
        damages = (b"", b"\0" * 100, b'{"format": "koel-chat/tabs"', b"[" * 200_000)
        for number, damage in enumerate(damages, 1):
            path.write_bytes(damage)
            tabs_file = OpenTabsFile(tmp_path)
            assert tabs_file.open() == OpenTabs()
            (problem,) = tabs_file.problems
            assert "damaged" in problem
            backup = path.with_name(f"tabs-1.json.damaged{f'.{number}' if number > 1 else ''}")
            assert str(backup) in problem and backup.read_bytes() == damage
            tabs_file.write(of("new"))
            tabs_file.close()
            assert decode(path.read_bytes()) == of("new")

    def test_a_killed_window_leaves_its_tabs_to_the_next(self, tmp_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from koel_tui.workspace.open_tabs import OpenTab, OpenTabs\n"
            "from koel_tui.conversation.drafts import Draft\n"
            "from koel_tui.workspace.open_tabs_file import OpenTabsFile\n"
            "file = OpenTabsFile(Path(sys.argv[1])); file.open()\n"
            "file.write(OpenTabs((OpenTab(None, '', Draft('half')),))); os.kill(os.getpid(), 9)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert done.returncode == -9
        (tab,) = OpenTabsFile(tmp_path).open().tabs
        assert tab.draft.text == "half"
