"""A tool call that is cut before its arguments: it is not reported, and the answer is cut."""

from pathlib import Path
from typing import Any

import gguf
import pytest

from koel_tui.engine import Engine, Finished, ModelSpec, ToolCallDelta
from koel_tui.engine.native.answer.answer_parser import AnswerParser, Piece
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.native.weights import Model
from tests.engine.native.answer.test_answer_parser import ALL, TOOLS, Plain, joined
from tests.engine.native.answer.test_harmony_parser import (
    HELLO,
    NEXT,
    TEMPLATE,
    TOOL,
    WORDS,
    parser,
    tokens,
)
from tests.engine.tiny_models import write_sliding_model

CALL = " to=functions.clock<|channel|>commentary json<|message|>"


@pytest.mark.parametrize("characters", [False, True], ids=["whole", "characters"])
@pytest.mark.parametrize(
    ("answer", "expected", "calls"),
    [
        (CALL, [], 0),
        (CALL + " ", [], 0),
        (CALL.removesuffix("<|message|>"), [], 0),
        (CALL + '{"zone": "UT', [("text", '{"zone": "UT')], 0),
        (CALL + '{"zone": "UTC"}', [("call", 'clock{"zone": "UTC"}')], 1),
        (CALL + "{}", [("call", "clock{}")], 1),
        (f"{CALL}{{}}<|end|>{NEXT}{CALL}", [("call", "clock{}")], 1),
    ],
)
def test_report_1_a_call_cut_before_its_arguments_is_not_a_call(
    answer: str, expected: list[Plain], calls: int, characters: bool
) -> None:
    reading, pieces = parser(), list[Piece]()
    for part, control in tokens(answer):
        for text in part if characters and not control else [part]:
            pieces += reading.feed(text, control=control)
    assert joined(pieces + reading.finish(cut=True)) == expected
    assert reading.calls == calls


@pytest.mark.parametrize(
    ("answer", "cut", "complete"),
    [
        ("<function=now>", [("text", "<function=now>")], [("call", "now{}")]),
        ("<function=now> \n", [("text", "<function=now> \n")], [("call", "now{}")]),
        ("<function=now", [("text", "<function=now")], [("text", "<function=now")]),
        ("<function=now>{}", [("call", "now{}")], [("call", "now{}")]),
        ("<function=now></function>", [("call", "now{}")], [("call", "now{}")]),
        ('<tool_call>{"name": "now"', *[[("text", '<tool_call>{"name": "now"')]] * 2),
        ("<|tool_call>call:now", *[[("text", "<|tool_call>call:now")]] * 2),
        ('[TOOL_CALLS][{"name": "now"}, ', *[[("text", '[TOOL_CALLS][{"name": "now"}, ')]] * 2),
        ('{"name": "now", "arguments": {', *[[("text", '{"name": "now", "arguments": {')]] * 2),
    ],
)
def test_report_1_a_call_in_another_format_cut_before_its_arguments_is_not_a_call(
    answer: str, cut: list[Plain], complete: list[Plain]
) -> None:
    for is_cut, expected in ((True, cut), (False, complete)):
        reading = AnswerParser(ALL, tools=TOOLS)
        assert joined([*reading.feed(answer), *reading.finish(cut=is_cut)]) == expected


@pytest.mark.parametrize(
    ("body", "limit", "reason", "calls"),
    [("", 0, "length", []), ("", 99, "tool_calls", ["{}"]), ("{}", 0, "length", ["{}"])],
    ids=["cut", "complete", "cut after the arguments"],
)
async def test_report_1_an_answer_with_a_cut_call_is_reported_as_cut(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    limit: int,
    reason: str,
    calls: list[str],
) -> None:
    """The model writes a call, and reaches the token limit before the end of the call."""
    words = dict.fromkeys((*WORDS, "<|call|>", "<|return|>"), gguf.TokenType.CONTROL)
    path = write_sliding_model(tmp_path / "tiny.gguf", TEMPLATE, words)
    written: list[int] = []

    def scripted(sampler: Sampler, context: Any, row: int) -> int:
        return written.pop(0)

    real = Model.__init__

    def loaded(model: Model, *arguments: Any) -> None:
        real(model, *arguments)
        written.extend(model.tokenize(CALL.strip() + body, special=True, start=False))

    monkeypatch.setattr(Model, "__init__", loaded)
    engine = await Engine.load(ModelSpec(path, context_tokens=1024, threads=1))
    monkeypatch.setattr(Sampler, "sample", scripted)
    length = limit or len(written)
    written.append(2)  # the token that ends the answer
    found, ended = [], ""
    try:
        session = await engine.open_session(tools=[TOOL], max_output_tokens=length)
        async for delta in session.stream([HELLO]):
            match delta:
                case ToolCallDelta(arguments=arguments):
                    found.append(arguments)
                case Finished():
                    ended = delta.reason
    finally:
        await engine.close()
    assert (found, ended) == (calls, reason)
