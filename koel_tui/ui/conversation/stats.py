"""The statistics of a thread and its model, formatted for the stats panel. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from koel_tui.conversation.turn_metrics import TurnMetrics
from koel_tui.formatting import bar, fit, size
from koel_tui.text import safe_line
from koel_tui.ui.conversation.spark import sparkline, spread

if TYPE_CHECKING:
    from koel_tui.agents import MemoryUse

_LABEL = 14
_LONGEST = 60
"""Maximum width of a bar or a sparkline in cells."""

LabelledValue = tuple[str, str]
"""A label and its value; a row that continues the row above has an empty label."""


@dataclass(frozen=True, slots=True)
class ThreadStats:
    """The contents of the panel; `turns` are oldest first, `now` is the current activity.

    `memory` is the memory use of the model, or the reason why it is unknown.
    """

    model: str = ""
    window: int = 0
    now: str = ""
    turns: tuple[TurnMetrics, ...] = ()
    memory: "MemoryUse | str" = ""


def sections(info: ThreadStats, width: int) -> Iterator[tuple[str, Sequence[LabelledValue]]]:
    """Yield headings with their rows, formatted for `width` cells."""
    room = max(8, width - _LABEL - 2)
    yield "Model", list(_model(info, room))
    if info.turns:
        last = info.turns[-1]
        yield "Context", list(_context(last, info.window, room))
        yield "Last answer", list(_answer(last))
        yield _turns_heading(len(info.turns)), list(_turns(info, room))
    else:
        yield "Answers", [("", "none measured yet")]
    yield "Memory", list(_memory(info.memory))


def info_text(info: ThreadStats, width: int) -> Content:
    """Return the statistics as text, grouped, in two columns."""
    lines: list[Content] = []
    for heading, rows in sections(info, width):
        if lines:
            lines.append(Content(""))
        lines.append(Content.styled(heading, "bold"))
        lines += [
            Content.assemble((f"  {label:<{_LABEL}}", "$text-accent"), what) for label, what in rows
        ]
    return Content("\n").join(lines)


def _model(info: ThreadStats, room: int) -> Iterator[LabelledValue]:
    yield "name", fit(safe_line(info.model) or "none yet", room)
    if info.window:
        yield "window", f"{info.window:,} tokens"
    if info.now:
        yield "now", fit(safe_line(info.now), room)


def _context(last: TurnMetrics, window: int, room: int) -> Iterator[LabelledValue]:
    window = last.context_tokens or window
    if window:
        share = last.used_tokens / window
        yield "used", f"{last.used_tokens:,} of {window:,} tokens, {share:.0%}".replace("%", " %")
        yield "", bar(share, min(room, _LONGEST))
    else:
        yield "used", f"{last.used_tokens:,} tokens"
    left = last.trimmed_turns
    yield "left out", f"the oldest {_counted(left, 'turn')}" if left else "nothing"


def _answer(last: TurnMetrics) -> Iterator[LabelledValue]:
    reused = f", {last.reused_tokens:,} of them reused" if last.reused_tokens else ""
    yield "read", f"{_counted(last.prompt_tokens, 'token')}{reused}"
    yield "written", _counted(last.output_tokens, "token")
    if last.tokens_per_s:
        yield "speed", f"{last.tokens_per_s:.1f} tokens/s"
    if last.first_token_s:
        yield "first token", f"after {_seconds(last.first_token_s)}"
        yield "whole answer", f"after {_seconds(last.duration_s)}"


def _turns(info: ThreadStats, room: int) -> Iterator[LabelledValue]:
    shown = info.turns[-min(room, _LONGEST) :]
    # An answer of one token has no speed and would appear as a meaningless gap.
    speeds = [each.tokens_per_s for each in shown if each.tokens_per_s]
    if speeds:
        yield "tokens/s", sparkline(speeds)
        yield "", spread(speeds)
    used = [each.used_tokens for each in shown]
    yield "context", sparkline(used, max(each.context_tokens for each in shown))
    yield "", spread(used)


def _turns_heading(count: int) -> str:
    return f"The last {_counted(count, 'answer')}" if count > 1 else "The only answer so far"


def _memory(memory: "MemoryUse | str") -> Iterator[LabelledValue]:
    if isinstance(memory, str):
        yield "", safe_line(memory)
        return
    yield "weights", size(memory.weights_bytes)
    yield "KV cache", f"{size(memory.kv_bytes)} in {_counted(memory.slots, 'slot')}"
    threads = _counted(memory.resident, "thread")
    yield (
        "  filled",
        f"{size(memory.resident_bytes)} by {threads}" if memory.resident else "nothing",
    )
    threads = _counted(memory.parked, "thread")
    yield "parked", f"{size(memory.parked_bytes)} of {threads}" if memory.parked else "nothing"
    yield "on the disk", f"{size(memory.snapshots_bytes)} of snapshots"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _seconds(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
