"""Tests of the statistics panel: numbers, bars, keys, a small window, and no model."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from koel_tui import formatting
from koel_tui.agents import MemoryUse
from koel_tui.conversation.metrics import TurnMetrics, parse_metrics
from koel_tui.storage import MemoryStorage
from koel_tui.ui.conversation.stats import (
    ThreadStats,
    format_range,
    format_stats,
    sections,
    sparkline,
)
from koel_tui.ui.conversation.stats_panel import StatsPanel
from tests.hostile import EVERYTHING
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened

MEASURED = {
    "model": "SmolLM2-135M",
    "prompt_tokens": 1200,
    "reused_tokens": 1100,
    "output_tokens": 34,
    "context_tokens": 8192,
    "time_to_first_token_s": 0.42,
    "decode_tokens_per_s": 110.0,
    "trimmed_turns": 3,
}
USE = MemoryUse(
    weights_bytes=98_100_000,
    kv_bytes=188_700_000,
    slots=4,
    max_slots=9,
    resident=2,
    resident_bytes=12_000_000,
    parked=1,
    parked_bytes=3_400_000,
    snapshots_bytes=1_250_000_000,
)


class TellingAgent(ScriptedAgent):
    """Reports the memory use of its model."""

    use: MemoryUse | None = None
    refusal: Exception | None = None

    async def memory(self) -> MemoryUse | None:
        if self.refusal is not None:
            raise self.refusal
        return self.use


class TestSpark:
    def test_the_largest_number_is_the_highest_block(self) -> None:
        assert sparkline([0, 50, 100]) == "▁▅█"
        assert sparkline([0, 50, 100], top=200) == "▁▃▅"

    def test_numbers_are_also_shown_in_words(self) -> None:
        assert format_range([1000, 3, 20.4]) == "min 3 · median 20 · max 1,000"
        assert format_range([]) == sparkline([]) == ""

    @given(st.lists(st.floats(0, 1e12), max_size=40), st.floats(-1, 1e12))
    def test_a_sparkline_has_one_block_for_each_number(
        self, values: list[float], top: float
    ) -> None:
        line = sparkline(values, top)
        assert len(line) == len(values) and set(line) <= set("▁▂▃▄▅▆▇█")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (98_140_000, "98 MB"), (3_400_000, "3.4 MB"),
     (999_600, "1.0 MB"), (1_250_000_000, "1.2 GB")],
)  # fmt: skip
def test_sizes_are_short(count: int, words: str) -> None:
    assert formatting.format_bytes(count) == words


class TestFigures:
    def test_the_duration_of_an_answer_includes_the_time_to_its_first_token(self) -> None:
        figures = parse_metrics(MEASURED)
        assert figures is not None
        assert (figures.prompt_tokens, figures.reused_tokens, figures.output_tokens) == (
            1200,
            1100,
            34,
        )
        assert figures.duration_s == pytest.approx(0.42 + 33 / 110)
        assert TurnMetrics(first_token_s=0.5, output_tokens=1).duration_s == 0.5

    def test_invalid_figures_are_ignored(self) -> None:
        odd = {
            "prompt_tokens": float("nan"),
            "output_tokens": -3,
            "context_tokens": "many",
            "reused_tokens": 10**400,
        }
        assert parse_metrics(odd) == TurnMetrics()


class TestInfo:
    def test_every_measured_figure_is_reported(self) -> None:
        figures = parse_metrics(MEASURED) or TurnMetrics()
        info = ThreadStats(
            "SmolLM2",
            8192,
            "writing",
            (TurnMetrics(used_tokens=90, context_tokens=8192), figures),
            USE,
        )
        assert dict(sections(info, 50)) == {
            "Model": [("name", "SmolLM2"), ("context", "8,192 tokens"), ("now", "writing")],
            "Context": [
                ("used", "1,234 of 8,192 tokens, 15%"),
                ("", formatting.progress_bar(1234 / 8192, 34)),
                ("left out", "the oldest 3 turns"),
            ],
            "Last answer": [
                ("read", "1,200 tokens, 1,100 of them reused"),
                ("written", "34 tokens"),
                ("speed", "110.0 tokens/s"),
                ("first token", "after 0.42 s"),
                ("whole answer", "after 0.72 s"),
            ],
            "The last 2 answers": [
                ("tokens/s", "█"),
                ("", "min 110 · median 110 · max 110"),
                ("context", "▁▂"),
                ("", "min 90 · median 662 · max 1,234"),
            ],
            "Memory": [
                ("weights", "98 MB"),
                ("KV cache", "189 MB in 4 slots of 9"),
                ("  filled", "12 MB by 2 threads"),
                ("parked", "3.4 MB of 1 thread"),
                ("on the disk", "1.2 GB of snapshots"),
            ],
        }

    def test_missing_figures_are_shown_as_missing(self) -> None:
        assert dict(sections(ThreadStats(memory="not loaded"), 50)) == {
            "Model": [("name", "none yet")],
            "Answers": [("", "none measured yet")],
            "Memory": [("", "not loaded")],
        }

    def test_the_newest_answers_are_shown_where_there_are_too_many(self) -> None:
        turns = tuple(
            TurnMetrics(used_tokens=n, context_tokens=100, tokens_per_s=n + 1) for n in range(200)
        )
        rows = dict(sections(ThreadStats(turns=turns), 50))["The last 200 answers"]
        assert cell_len(rows[0][1]) == 34
        assert rows[1][1] == "min 167 · median 184 · max 200"

    @given(st.text(max_size=80), st.integers(20, 120))
    def test_no_row_is_too_wide(self, name: str, width: int) -> None:
        turns = (TurnMetrics(model=name, used_tokens=100, context_tokens=90, tokens_per_s=3),)
        pictures = ("▁", "▓", "█")
        for _, rows in sections(ThreadStats(model=name, turns=turns, now=name), width):
            for label, what in rows:
                if label in ("name", "now") or what.startswith(pictures):
                    assert 16 + cell_len(what) <= max(width, 24)

    def test_a_hostile_name_is_harmless(self) -> None:
        shown = format_stats(ThreadStats(EVERYTHING, memory=EVERYTHING, now=EVERYTHING), 80).plain
        assert all(char.isprintable() or char == "\n" for char in shown)
        assert len(shown.splitlines()) == 9


async def panel(window: Window) -> None:
    await window.press("f3")
    await window.until(lambda: isinstance(window.app.screen, StatsPanel))


async def test_the_figures_of_the_thread_in_front_are_shown_and_left_by_keys() -> None:
    agent = TellingAgent()
    agent.use = USE
    async with opened(size=(80, 40), agent=agent) as window:
        for number in range(2):
            turn = await window.ask(f"Question {number}")
            turn.write("fine")
            turn.measure(**MEASURED | {"prompt_tokens": 1200 * number})
            turn.finish()
            await window.until(lambda: "tok/s" in window.status)
        await window.until(lambda: "1.2k/8.2k" in window.status)
        await panel(window)
        for words in ("1,234 of 8,192 tokens", "the oldest 3 turns", "The last 2 answers",
                      "max 1,234", "189 MB in 4 slots", "3.4 MB of 1 thread"):  # fmt: skip
            await window.sees(words)
        await window.press("f3")
        await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.press("ctrl+n")
        await panel(window)
        await window.sees("none measured")
        await window.press("escape")
        await window.until(lambda: len(window.app.screen_stack) == 1)


async def test_the_figures_of_a_thread_are_there_again_when_it_is_opened() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        turn = await window.ask("Question")
        turn.write("fine")
        turn.measure(**MEASURED)
        turn.finish()
        await window.until(lambda: "saved" in window.status)
        thread = (await storage.list_threads())[0]
    async with opened(size=(80, 40), storage=storage, thread=thread) as window:
        await window.until(lambda: "1.2k/8.2k" in window.status)
        assert "tok/s" not in window.status and "Scripted-1B" in window.status
        await panel(window)
        for words in ("1,234 of 8,192 tokens", "The only answer so far", "110.0 tokens/s"):
            await window.sees(words)
        await window.press("escape")
        await window.press("ctrl+r")  # the new branch has no answer
        await window.until(lambda: len(window.agent.turns) == 1)
        window.agent.turns[0].finish()
        await window.press("alt+left")
        await window.until(lambda: "1.2k/8.2k" in window.status)


async def test_the_panel_fits_a_small_window_and_scrolls() -> None:
    agent = TellingAgent()
    agent.use = USE
    async with opened(size=(60, 15), agent=agent) as window:
        turn = await window.ask("Question")
        turn.measure(**MEASURED)
        turn.finish()
        await window.until(lambda: not window.app._workspace.active.is_busy)
        await panel(window)
        await window.sees("1,234 of 8,192 tokens, 15%")
        assert all(cell_len(line) == 60 for line in window.lines)
        assert "parked" not in window.screen
        await window.press("end")
        await window.sees("parked        3.4 MB of 1 thread")


async def test_the_open_stats_panel_is_updated() -> None:
    agent = TellingAgent(load_at_once=False)
    async with opened(agent=agent) as window:
        await panel(window)
        await window.sees("not loaded")
        agent.use = USE
        agent.end_load()
        await window.sees("98 MB")
        await window.sees("Scripted-1B")


@pytest.mark.parametrize("refusal", [None, RuntimeError("the runner is gone")])
async def test_an_agent_without_a_memory_report_leaves_the_other_figures(
    refusal: Exception | None,
) -> None:
    agent = TellingAgent()
    agent.refusal = refusal
    async with opened(agent=agent) as window:
        await panel(window)
        await window.sees("Scripted-1B")
        await window.sees(str(refusal) if refusal else "not loaded")


async def test_the_stats_panel_can_be_closed_while_the_agent_has_not_answered() -> None:
    agent = TellingAgent()
    asked = asyncio.Event()

    async def memory() -> MemoryUse | None:
        asked.set()
        await asyncio.Event().wait()
        return None

    agent.memory = memory  # type: ignore[method-assign]
    async with opened(agent=agent) as window:
        await panel(window)
        await window.until(asked.is_set)
        await window.sees("Scripted-1B")
        await window.press("q")
        await window.until(lambda: len(window.app.screen_stack) == 1)
