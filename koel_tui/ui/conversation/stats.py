"""The statistics of a thread and its model, formatted for the stats panel. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from textual.content import Content

from koel_tui.conversation.metrics import TurnMetrics
from koel_tui.formatting import format_bytes, progress_bar, truncate
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.agents import MemoryUse

_LABEL_WIDTH = 14
_MAX_BAR = 60
"""Maximum width of a bar or a sparkline in cells."""
_STEPS = "▁▂▃▄▅▆▇█"

LabelledValue = tuple[str, str]
"""A label and its value; a row that continues the row above has an empty label."""


@dataclass(frozen=True, slots=True)
class ThreadStats:
    """The contents of the panel; `turns` are oldest first, `now` is the current activity.

    `memory` is the memory use of the model, or the reason why it is unknown.
    """

    model: str = ""
    context_tokens: int = 0
    now: str = ""
    turns: tuple[TurnMetrics, ...] = ()
    memory: "MemoryUse | str" = ""


def sections(stats: ThreadStats, width: int) -> Iterator[tuple[str, Sequence[LabelledValue]]]:
    """Yield headings with their rows, formatted for `width` cells."""
    room = max(8, width - _LABEL_WIDTH - 2)
    yield "Model", list(_model(stats, room))
    if stats.turns:
        last = stats.turns[-1]
        yield "Context", list(_context(last, stats.context_tokens, room))
        yield "Last answer", list(_answer(last))
        yield _turns_heading(len(stats.turns)), list(_turns(stats, room))
    else:
        yield "Answers", [("", "none measured yet")]
    yield "Memory", list(_memory(stats.memory))


def format_stats(stats: ThreadStats, width: int) -> Content:
    """Return the statistics as text, grouped, in two columns."""
    lines: list[Content] = []
    for heading, rows in sections(stats, width):
        if lines:
            lines.append(Content(""))
        lines.append(Content.styled(heading, "bold"))
        lines += [
            Content.assemble((f"  {label:<{_LABEL_WIDTH}}", "$text-accent"), what)
            for label, what in rows
        ]
    return Content("\n").join(lines)


def sparkline(values: Sequence[float], top: float = 0.0) -> str:
    """Return one block per number; the full block means `top`, or the maximum if `top` is 0."""
    top = top if top > 0 else max(values, default=0.0)
    return "".join(_STEPS[_step(value, top)] for value in values)


def format_range(values: Sequence[float]) -> str:
    """Return the minimum, median and maximum as text; empty for no values."""
    if not values:
        return ""
    least, middle, most = (f"{each:,.0f}" for each in (min(values), median(values), max(values)))
    return f"min {least} · median {middle} · max {most}"


def _model(stats: ThreadStats, room: int) -> Iterator[LabelledValue]:
    yield "name", truncate(safe_line(stats.model) or "none yet", room)
    if stats.context_tokens:
        yield "context", f"{stats.context_tokens:,} tokens"
    if stats.now:
        yield "now", truncate(safe_line(stats.now), room)


def _context(last: TurnMetrics, context_tokens: int, room: int) -> Iterator[LabelledValue]:
    context_tokens = last.context_tokens or context_tokens
    if context_tokens:
        share = last.used_tokens / context_tokens
        yield "used", f"{last.used_tokens:,} of {context_tokens:,} tokens, {share:.0%}"
        yield "", progress_bar(share, min(room, _MAX_BAR))
    else:
        yield "used", f"{last.used_tokens:,} tokens"
    left = last.trimmed_turns
    yield "left out", f"the oldest {_format_count(left, 'turn')}" if left else "nothing"


def _answer(last: TurnMetrics) -> Iterator[LabelledValue]:
    reused = f", {last.reused_tokens:,} of them reused" if last.reused_tokens else ""
    yield "read", f"{_format_count(last.prompt_tokens, 'token')}{reused}"
    yield "written", _format_count(last.output_tokens, "token")
    if last.tokens_per_s:
        yield "speed", f"{last.tokens_per_s:.1f} tokens/s"
    if last.first_token_s:
        yield "first token", f"after {_format_seconds(last.first_token_s)}"
        yield "whole answer", f"after {_format_seconds(last.duration_s)}"


def _turns(stats: ThreadStats, room: int) -> Iterator[LabelledValue]:
    shown = stats.turns[-min(room, _MAX_BAR) :]
    # An answer of one token has no speed and would appear as a meaningless gap.
    speeds = [each.tokens_per_s for each in shown if each.tokens_per_s]
    if speeds:
        yield "tokens/s", sparkline(speeds)
        yield "", format_range(speeds)
    used = [each.used_tokens for each in shown]
    yield "context", sparkline(used, max(each.context_tokens for each in shown))
    yield "", format_range(used)


def _turns_heading(count: int) -> str:
    return f"The last {_format_count(count, 'answer')}" if count > 1 else "The only answer so far"


def _memory(memory: "MemoryUse | str") -> Iterator[LabelledValue]:
    if isinstance(memory, str):
        yield "", safe_line(memory)
        return
    yield "weights", format_bytes(memory.weights_bytes)
    slots = _format_count(memory.slots, "slot")
    # The panel is narrow, so the maximum is left out when it is reached.
    most = f" of {memory.max_slots}" if memory.max_slots > memory.slots else ""
    yield "KV cache", f"{format_bytes(memory.kv_bytes)} in {slots}{most}"
    threads = _format_count(memory.resident, "thread")
    yield (
        "  filled",
        f"{format_bytes(memory.resident_bytes)} by {threads}" if memory.resident else "nothing",
    )
    threads = _format_count(memory.parked, "thread")
    yield (
        "parked",
        f"{format_bytes(memory.parked_bytes)} of {threads}" if memory.parked else "nothing",
    )
    yield "on the disk", f"{format_bytes(memory.snapshots_bytes)} of snapshots"


def _format_count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _format_seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def _step(value: float, top: float) -> int:
    last = len(_STEPS) - 1
    return max(0, round(min(value, top) / top * last)) if top > 0 else 0
