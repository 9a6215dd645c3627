"""Malformed answers of gpt-oss: the parser ends, and no tool call is executed."""

import random

import pytest

from koel_tui.engine.native.answer.answer_parser import Piece
from koel_tui.engine.native.answer.harmony_parser import HarmonyParser
from koel_tui.engine.native.answer.thinking_tags import ThinkingTags
from koel_tui.engine.native.loaded_model import new_parser
from koel_tui.engine.types import ThinkingDelta, ToolCallDelta
from tests.engine.native.answer.test_answer_parser import joined
from tests.engine.native.answer.test_harmony_parser import TEMPLATE, WORDS, parsed, tokens

CALL = "<|start|>assistant<|channel|>commentary to=functions.clock<|message|>"


def made(*, tools: tuple[str, ...] = ("clock",), spells_tags: bool = False) -> HarmonyParser:
    parser = new_parser(
        ThinkingTags.from_template(TEMPLATE),
        open_tags=None,
        partial_answer=None,
        tools=tools,
        call_prefix="s",
        spells_tags=spells_tags,
    )
    assert isinstance(parser, HarmonyParser)
    return parser


def read(parser: HarmonyParser, answer: str) -> list[Piece]:
    pieces: list[Piece] = []
    for part, control in tokens(answer):
        pieces += parser.feed(part, control=control)
    return pieces + parser.finish()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("seed", range(20))
def test_tags_in_any_order_end(seed: int) -> None:
    chance = random.Random(seed)
    parts = [*WORDS, "assistant", "analysis", "final", " to=functions.clock", "{}", "text"]
    for _ in range(50):
        parsed("".join(chance.choices(parts, k=chance.randrange(1, 9))))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("spells_tags", [True, False])
def test_report_1_the_chunks_of_an_answer_do_not_change_the_result(
    seed: int, spells_tags: bool
) -> None:
    chance = random.Random(seed)
    parts = [
        *WORDS,
        "assistant",
        "analysis",
        "final",
        " to=functions.clock",
        "\n",
        " ",
        "{}",
        "text",
        "long" * 55,
    ]
    for _ in range(50):
        answer = "".join(chance.choices(parts, k=chance.randrange(1, 12)))
        whole, characters = made(spells_tags=spells_tags), made(spells_tags=spells_tags)
        pieces = [piece for each in answer for piece in characters.feed(each)]
        expected = joined(whole.feed(answer) + whole.finish())
        assert joined(pieces + characters.finish()) == expected, answer


@pytest.mark.parametrize("length", [100, 165, 166, 220])
def test_report_1_the_chunks_of_a_long_header_do_not_change_the_result(length: int) -> None:
    analysis = "<|channel|>analysis<|message|>Hm."
    answer = f"{analysis}<|channel|>{'x' * length}<|message|>Yes"
    whole, characters = made(spells_tags=True), made(spells_tags=True)
    expected = joined(whole.feed(answer) + whole.finish())
    pieces = [piece for each in answer for piece in characters.feed(each)]
    assert joined(pieces + characters.finish()) == expected
    assert len(expected) == (2 if length < 200 else 1)


def test_a_call_quoted_in_thinking_is_not_executed() -> None:
    parser = made()
    pieces = parser.feed("<|channel|>", control=True) + parser.feed("analysis")
    pieces += parser.feed("<|message|>", control=True) + parser.feed(f"It says {CALL}{{}}")
    pieces += parser.finish()
    assert joined(pieces) and all(isinstance(each, ThinkingDelta) for each in pieces)


def test_without_offered_tools_there_is_no_call() -> None:
    pieces = read(made(tools=()), CALL.removeprefix("<|start|>assistant") + "{}")
    assert not any(isinstance(each, ToolCallDelta) for each in pieces)
