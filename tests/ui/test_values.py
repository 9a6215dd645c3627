"""Tests of the parts of the window that need no screen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from koel_tui import formatting
from koel_tui.conversation.activity import Activity, parse_activity
from koel_tui.conversation.metrics import TokenRate, TurnMetrics, parse_metrics
from koel_tui.ui.app.status_line import Status
from koel_tui.ui.app.tab_bar import Label
from koel_tui.ui.keys.key_table import ALL_KEYS, KEYS
from koel_tui.ui.transcript import markdown_cost
from koel_tui.workspace.saved_threads import SavedThread, find_thread
from koel_tui.workspace.tab_order import TabOrder


class TestWorkspace:
    def test_a_new_tab_comes_to_the_front_at_the_end(self) -> None:
        tabs = TabOrder("a")
        tabs.add("b")
        assert (list(tabs), tabs.active, tabs.number("b")) == (["a", "b"], "b", 2)

    def test_removing_the_active_tab_activates_its_right_or_left_neighbour(self) -> None:
        tabs = TabOrder("a")
        tabs.add("b")
        tabs.add("c")
        tabs.activate("b")
        tabs.remove("b")
        assert tabs.active == "c"
        tabs.remove("c")
        assert tabs.active == "a"
        with pytest.raises(ValueError, match="last tab"):
            tabs.remove("a")

    def test_removing_an_inactive_tab_keeps_the_active_one(self) -> None:
        tabs = TabOrder("a")
        tabs.add("b")
        tabs.remove("a")
        assert tabs.active == "b"

    def test_tab_steps_wrap_around_and_tab_numbers_do_not(self) -> None:
        tabs = TabOrder("a")
        tabs.add("b")
        assert (tabs.step(1), tabs.step(-1), tabs.step(2)) == ("a", "a", "b")
        assert (tabs.at(1), tabs.at(2), tabs.at(0), tabs.at(3)) == ("a", "b", None, None)

    def test_only_inactive_tabs_are_unread_and_activation_marks_them_read(self) -> None:
        tabs = TabOrder("a")
        tabs.add("b")
        tabs.mark_unread("b")
        tabs.mark_unread("a")
        tabs.mark_unread("gone")
        assert (tabs.is_unread("a"), tabs.is_unread("b")) == (True, False)
        assert tabs.activate("a")
        assert not tabs.is_unread("a")
        assert not tabs.activate("a")
        assert not tabs.activate("gone")


class TestCells:
    @given(st.text(max_size=40), st.integers(0, 30))
    def test_a_fitted_text_is_never_too_wide(self, text: str, width: int) -> None:
        assert cell_len(formatting.truncate(text, width)) <= width

    def test_truncation_keeps_text_that_fits_and_marks_truncated_text(self) -> None:
        assert formatting.truncate("forest", 6) == "forest"
        assert formatting.truncate("forests", 6) == "fores…"
        assert formatting.truncate("日本語", 4) == "日…"

    def test_counts_are_short(self) -> None:
        counts = [0, 999, 1000, 8192, 99_900, 131_072]
        assert [formatting.format_tokens(n) for n in counts] == [
            "0",
            "999",
            "1.0k",
            "8.2k",
            "99.9k",
            "131k",
        ]

    def test_a_progress_bar_is_empty_only_at_zero(self) -> None:
        bars = [formatting.progress_bar(fraction) for fraction in (0, 0.01, 0.5, 1, 7)]
        assert bars == ["░░░░", "▓░░░", "▓▓░░", "▓▓▓▓", "▓▓▓▓"]


class TestActivity:
    @pytest.mark.parametrize(
        ("value", "words", "mark"),
        [
            ({"phase": "loading", "fraction": 0.4}, "loading model 40%", "loading 40%"),
            ({"phase": "loading"}, "loading model", "loading"),
            ({"phase": "queued", "position": 2}, "queued: 2 ahead", "queued 2"),
            ({"phase": "reading", "fraction": 2}, "reading 100%", "reading 100%"),
            ({"phase": "writing"}, "writing", "⌛"),
        ],
    )
    def test_an_activity_has_a_status_text_and_a_tab_text(
        self, value: object, words: str, mark: str
    ) -> None:
        activity = parse_activity(value)
        assert activity is not None
        assert (activity.status_text, activity.tab_text) == (words, mark)

    @pytest.mark.parametrize("value", [None, 3, "writing", [], {}, {"phase": 4}, {"phase": "x"}])
    def test_an_unknown_activity_is_ignored(self, value: object) -> None:
        assert parse_activity(value) is None

    def test_an_idle_activity_has_no_text(self) -> None:
        assert (Activity().status_text, Activity().tab_text) == ("", "")

    def test_metrics_of_any_form_are_parsed(self) -> None:
        value = {"model": "M", "prompt_tokens": 3, "output_tokens": 4, "context_tokens": 9, "x": 1}
        assert parse_metrics(value) == TurnMetrics(
            "M", used_tokens=7, context_tokens=9, prompt_tokens=3, output_tokens=4
        )
        assert parse_metrics({"model": None, "prompt_tokens": "many"}) == TurnMetrics()
        assert parse_metrics("no") is None


class TestPace:
    def test_the_token_rate_is_reported_after_enough_tokens(self) -> None:
        pace = TokenRate()
        for n in range(10):
            pace.add(100 + n / 20)
        assert pace.per_s == 0
        for n in range(10, 30):
            pace.add(100 + n / 20)
        assert round(pace.per_s) == 20

    def test_events_of_several_tokens_count_as_several(self) -> None:
        pace = TokenRate()
        for n in range(10):
            pace.add(100 + n / 10, 4)
        assert round(pace.per_s) == 40


class TestStatus:
    WIDGET_BUDGET = Status("writing", "Some-Model-7B", 1200, 8192, 112.4, "saved")

    def test_a_wide_status_line_shows_everything(self) -> None:
        line = self.WIDGET_BUDGET.render(70).plain
        assert line.startswith("writing ")
        assert line.endswith("Some-Model-7B · ctx 1.2k/8.2k ▓░░░ · 112 tok/s · saved")
        assert cell_len(line) == 70

    def test_a_narrow_status_line_drops_the_least_important_part_first(self) -> None:
        assert self.WIDGET_BUDGET.render(57).plain.endswith(
            "Some-Model-… · ctx 1.2k/8.2k · 112 tok/s · saved"
        )
        assert self.WIDGET_BUDGET.render(46).plain.endswith("  ctx 1.2k/8.2k · 112 tok/s · saved")
        assert self.WIDGET_BUDGET.render(15).plain == "writing   saved"

    def test_an_alert_takes_priority_in_the_status_line(self) -> None:
        status = Status("writing", "M", 1, 2, 3, "saved", alert="NOT SAVED: disk full")
        assert status.render(40).plain == "writing             NOT SAVED: disk full"
        assert status.render(10).plain == "NOT SAVED…"

    @given(st.text(max_size=60), st.text(max_size=60), st.integers(1, 90), st.text(max_size=60))
    def test_the_status_line_is_never_wider_than_the_window(
        self, activity: str, model: str, width: int, alert: str
    ) -> None:
        for status in (
            Status(activity, model, 100, 8192, 3.0, "saved"),
            Status(activity, model, 100, 8192, 3.0, "saved", alert),
        ):
            assert cell_len(status.render(width).plain) <= width


class TestRichness:
    @pytest.mark.parametrize(
        ("text", "widgets"),
        [
            ("", 0),
            ("one\nparagraph\n\nand two", 2),
            ("# Head\ntext", 2),
            ("- a\n- b\n  more\n- c", 12),
            ("1. a\n2. b", 8),
            ("```\n- a\n- b\n```\n\n~~~\n```\n~~~", 4),
            ("> a\n> b", 2),
        ],
    )
    def test_the_number_of_markdown_widgets_is_estimated(self, text: str, widgets: int) -> None:
        assert markdown_cost.estimate_widgets(text) == widgets

    def test_tables_count_by_their_cells(self) -> None:
        row = "|" + "a|" * 20 + "\n"
        assert markdown_cost.estimate_widgets(row * 40) > 20 * 40 > markdown_cost.MAX_WIDGETS


class TestLabel:
    def test_a_tab_label_truncates_the_title_and_not_the_mark(self) -> None:
        label = Label("t", "A title of several words", "queued 2")
        assert label.text(3, 40) == "3 A title of several words queued 2"
        assert label.text(3, 22) == "3 A title of… queued 2"
        assert label.text(3, 5) == "3 A title… queued 2"

    def test_a_title_is_one_harmless_line(self) -> None:
        assert Label("t", "a\n\x1b[31m\u202eb").text(1, 30) == "1 a ␛[31m⟦RLO⟧b"


class TestFindThread:
    THREADS = (
        SavedThread("abc-1", "Forests"),
        SavedThread("abc-2", "Cities"),
        SavedThread("xyz", "Cities"),
        SavedThread("abc", "By its whole id"),
        SavedThread("", "file.json", damage="torn"),
    )

    @pytest.mark.parametrize(
        ("wanted", "thread_id"),
        [("abc-1", "abc-1"), ("abc", "abc"), ("x", "xyz"), ("Forests", "abc-1")],
    )
    def test_a_thread_is_found_by_id_beginning_or_title(self, wanted: str, thread_id: str) -> None:
        found = find_thread(self.THREADS, wanted)
        assert isinstance(found, SavedThread)
        assert found.id == thread_id

    def test_a_query_with_no_match_or_several_matches_is_reported(self) -> None:
        assert find_thread(self.THREADS, "ab") == "3 saved threads match 'ab'."
        assert find_thread(self.THREADS, "Cities") == "2 saved threads match 'Cities'."
        assert find_thread(self.THREADS, "file.json") == "No saved thread is called 'file.json'."
        assert find_thread(self.THREADS, "") == "No saved thread is called ''."


class TestKeys:
    def test_ids_and_keys_are_distinguished(self) -> None:
        keys = ALL_KEYS
        assert len({key.id for key in keys}) == len(keys)
        names = [name for key in keys for name in key.names]
        assert len(set(names)) == len(names)

    def test_no_key_is_one_that_terminals_mix_up(self) -> None:
        names = {name for key in ALL_KEYS for name in key.names}
        assert not names & {"ctrl+i", "ctrl+m", "ctrl+h", "ctrl+left_square_bracket", "ctrl+tab"}

    def test_the_footer_has_at_most_five_keys(self) -> None:
        assert len([key for key in KEYS if key.footer]) == 5


class TestMoving:
    def test_the_active_tab_moves_up_to_the_ends_of_the_tab_bar(self) -> None:
        tabs = TabOrder("a")
        for name in "bcd":
            tabs.add(name)
        tabs.activate("b")
        seen = []
        for distance in (1, 1, 1, -1, -9):
            tabs.move(distance)
            seen.append("".join(tabs))
            assert tabs.active == "b"
        assert seen == ["acbd", "acdb", "acdb", "acbd", "bacd"]
