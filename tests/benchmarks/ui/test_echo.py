"""The time until a typed letter is seen while an answer is written. Run alone."""

import asyncio
from pathlib import Path

import pytest

from koel_tui.storage import JsonFileStorage
from tests.benchmarks.report import line, share
from tests.benchmarks.ui.answers import FIRST_WORD, history, last_text
from tests.benchmarks.ui.outside import ENTER, Outside, module

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
KEYS = 40
SETTLED = 1.0


def reference(way: str, tokens_per_s: int) -> list[float]:
    """Return the latencies of letters typed into the minimal program while it writes."""
    with Outside(module("reference", way, tokens_per_s, 0)) as program:
        program.see("Ask anything.")
        program.watch(SETTLED)
        return program.echo(KEYS)


def ours(threads: Path, tokens_per_s: int, messages: int) -> list[float]:
    """Return the latencies of letters typed into the window while it writes in a long thread."""
    asyncio.run(JsonFileStorage(threads).save("long", history(messages)))
    with Outside(module("program", threads, tokens_per_s, "long")) as program:
        program.see(last_text(messages) if messages else "Paced-1B")
        program.watch(SETTLED)
        program.send("Tell" + ENTER)
        program.see(FIRST_WORD)
        program.watch(SETTLED)
        return program.echo(KEYS)


@pytest.mark.parametrize("tokens_per_s", [25, 100])
def test_typing_while_it_writes(tmp_path: Path, tokens_per_s: int) -> None:
    print()
    streamed = reference("stream", tokens_per_s)
    naive = reference("update", tokens_per_s)
    against = "minimal program with Textual's stream, no history"
    for messages in (0, 100, 5000):
        latencies = ours(tmp_path / str(messages), tokens_per_s, messages)
        what = f"key to echo at {tokens_per_s} tokens/s, {messages} messages"
        limits = ("10 ms", "40 ms") if (tokens_per_s, messages) == (100, 100) else ("", "")
        for part, name, limit in ((0.5, "p50", limits[0]), (0.9, "p90", limits[1])):
            print(
                line(
                    f"{what}, {name}",
                    share(latencies, part),
                    share(streamed, part),
                    "ms",
                    against,
                    limit,
                )
            )
    print(
        line(
            f"the minimal program rendering all at every token, {tokens_per_s} tokens/s, p90",
            share(naive, 0.9),
            share(streamed, 0.9),
            "ms",
            "with Textual's stream",
        )
    )
