"""Answers of gpt-oss: messages in channels, of which only the content is reported."""

import logging
import re
from pathlib import Path

import gguf
import pytest

from koel_tui.engine import ChatMessage, ModelSpec, TurnSettings
from koel_tui.engine.native.answer.answer_parser import AnswerParser, Piece
from koel_tui.engine.native.answer.harmony_parser import HarmonyParser
from koel_tui.engine.native.answer.thinking_tags import HARMONY, ThinkingTags
from koel_tui.engine.native.loaded_model import LoadedModel, new_parser
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.wire_messages import Load
from tests.engine.native.answer.test_answer_parser import Plain, joined
from tests.engine.tiny_models import write_sliding_model

TEMPLATE = (
    "{% for m in messages %}{{ '<|start|>' + m.role }}"
    "{% if m.role == 'assistant' %}{{ '<|channel|>final' }}{% endif %}"
    "{{ '<|message|>' + m.content + '<|end|>' }}{% endfor %}<|start|>assistant"
    "{# <|channel|>analysis<|message|> #}"
)
WORDS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|constrain|>")
TOKENS = re.compile("|".join(map(re.escape, WORDS)))
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {}}}
HELLO = ChatMessage("user", "hello")
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
NEXT = "<|start|>assistant"


def parser(*, tools: tuple[str, ...] = ("clock",), begun: str = "") -> HarmonyParser:
    made = new_parser(
        ThinkingTags.from_template(TEMPLATE),
        open_tags=None,
        partial_answer=ChatMessage("assistant", begun) if begun else None,
        tools=tools,
        call_prefix="s",
    )
    assert isinstance(made, HarmonyParser)
    return made


def tokens(answer: str) -> list[tuple[str, bool]]:
    """Return the answer split at its control tokens, with a flag that marks control tokens."""
    parts = re.split(f"({TOKENS.pattern})", answer)
    return [(part, index % 2 == 1) for index, part in enumerate(parts) if part]


def parsed(answer: str, *, characters: bool = False, begun: str = "") -> list[Plain]:
    reading, pieces = parser(begun=begun), list[Piece]()
    for part, control in tokens(answer):
        for text in part if characters and not control else [part]:
            if not reading.is_ended:
                pieces += reading.feed(text, control=control)
    return joined(pieces + reading.finish())


HELLO_AFTER_THINKING = [("thinking", "Hm."), ("text", "Hello!")]
CASES: list[tuple[str, list[Plain]]] = [
    (f"{ANALYSIS}Hm.{NEXT}{FINAL}Hello!", HELLO_AFTER_THINKING),
    (f"{ANALYSIS}Hm.<|end|>{NEXT}{FINAL}Hello!", HELLO_AFTER_THINKING),
    (f"{ANALYSIS}Hm.{FINAL}Hello!", HELLO_AFTER_THINKING),
    (
        f"{ANALYSIS}H<|end|>{NEXT}{ANALYSIS}m.<|end|>{NEXT}{FINAL}Hello!",
        [("thinking", "H\n\nm."), ("text", "Hello!")],
    ),
    (f"{FINAL}Hello!", [("text", "Hello!")]),
    (f"{FINAL}Hello!<|end|><|start|>user<|message|>More?", [("text", "Hello!")]),
    (f"{ANALYSIS}Hm.<|end|><|start|>user<|message|>More?", [("thinking", "Hm.")]),
    (f"{FINAL}Hel<|end|>lo", [("text", "Hel")]),
    ("Hello!", [("text", "Hello!")]),
    ("tomorrow", [("text", "tomorrow")]),
    ("to", [("text", "to")]),
    ("", []),
    (f"{ANALYSIS}Hm.", [("thinking", "Hm.")]),
    (f"{ANALYSIS}Hm.<|end|>{NEXT}<|channel|>fin", [("thinking", "Hm.")]),
    ("<|channel|>final\nHello!", [("text", "Hello!")]),
    ("<|channel|>final\n<|message|>Hello!", [("text", "Hello!")]),
    ("<|channel|>final Hello there", [("text", "Hello there")]),  # no tag after the header
    ("<|channel|>commentary I will look.", [("text", "I will look.")]),
    (f"{FINAL}One{NEXT}{FINAL}Two", [("text", "One\n\nTwo")]),
    (
        f"<|channel|>commentary<|message|>Wait.<|end|>{NEXT}{ANALYSIS}Hm.<|end|>{NEXT}{FINAL}Done.",
        [("text", "Wait."), ("thinking", "Hm."), ("text", "\n\nDone.")],
    ),
    (
        f"<|channel|>commentary<|message|>Wait.<|end|>{NEXT}{FINAL}Done.",
        [("text", "Wait.\n\nDone.")],
    ),
    (
        f"{ANALYSIS}Hm.<|end|>{NEXT}<|channel|>commentary to=functions.clock "
        '<|constrain|>json<|message|>{"zone": "UTC"}<|call|>',
        [("thinking", "Hm."), ("call", 'clock{"zone": "UTC"}')],
    ),
    (" to=functions.clock<|channel|>commentary json<|message|>{}", [("call", "clock{}")]),
    (" to=functions.clock<|channel|>commentary json<|message|>", [("call", "clock{}")]),
    (" to=functions.clock<|channel|>commentary<|message|>no JSON", [("text", "no JSON")]),
    (" to=python<|channel|>analysis<|message|>print(1)", [("thinking", "print(1)")]),
]


@pytest.mark.parametrize("characters", [False, True], ids=["whole", "characters"])
@pytest.mark.parametrize(("answer", "expected"), CASES)
def test_report_1_only_the_content_of_channels_is_shown(
    answer: str, expected: list[Plain], characters: bool
) -> None:
    assert parsed(answer.removesuffix("<|call|>"), characters=characters) == expected


def test_report_1_channels_in_pieces_of_text() -> None:
    """A model whose vocabulary lacks the tags as control tokens writes them as text."""
    pieces = ("<|channel|>", "analysis", "<|message|>", "Hm.", "<|start|>", "assistant")
    reading = parser()
    read = [
        piece
        for text in (*pieces, "<|channel|>", "final", "<|message|>", "Hello!")
        for piece in reading.feed(text)
    ]
    assert joined(read + reading.finish()) == HELLO_AFTER_THINKING


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            f"<|channel|>commentary<|message|>Wait.<|end|>{NEXT}{ANALYSIS}Hm.<|end|>{NEXT}{FINAL}Yes",
            [("text", "Wait."), ("thinking", "Hm."), ("text", "\n\nYes")],
        ),
        (
            " to=functions.clock<|channel|>commentary <|constrain|>json<|message|>{}<|call|>",
            [("call", "clock{}")],
        ),
    ],
)
def test_report_1_spelled_channels_after_a_preamble(answer: str, expected: list[Plain]) -> None:
    reading = parser()
    pieces = [piece for character in answer for piece in reading.feed(character)]
    assert joined(pieces + reading.finish()) == expected


COMMENTARY = "<|channel|>commentary<|message|>"


@pytest.mark.parametrize("characters", [False, True], ids=["whole", "characters"])
@pytest.mark.parametrize("held", ["{ok", '{"name": "clock", ', "<tool_call>{", "a <tool_c"])
def test_report_1_the_beginning_of_a_call_ends_with_its_message(
    held: str, characters: bool
) -> None:
    reading, pieces = parser(), list[Piece]()
    for part, control in tokens(f"{COMMENTARY}{held}<|end|>{NEXT}{FINAL}Hello!"):
        for text in part if characters and not control else [part]:
            pieces += reading.feed(text, control=control)
    assert joined(pieces) == [("text", f"{held}\n\nHello!")]
    assert reading.finish() == []


def test_report_1_a_call_in_a_message_is_before_the_next_message() -> None:
    call = '{"name": "clock", "arguments": {}'
    answer = f"{COMMENTARY}<tool_call>{call}}}<|end|>{NEXT}{FINAL}Hello!"
    assert parsed(answer) == [("call", "clock{}"), ("text", "Hello!")]


@pytest.mark.parametrize(
    "end",
    [
        "<|end|>", "<|end|> \n", f"<|end|>{NEXT}", f"<|end|>\n{NEXT}", "<|end|><|sta",
        f"<|end|>{NEXT}<|channel|>fin", "<|channel|>final", NEXT,
    ],
)  # fmt: skip
def test_report_1_spelled_tags_at_the_end_of_thinking_are_not_shown(end: str) -> None:
    answer = f"{ANALYSIS}Hm.{end}"
    for cuts in (answer, [answer]):
        reading = parser()
        pieces = [piece for text in cuts for piece in reading.feed(text)]
        assert joined(pieces + reading.finish()) == [("thinking", "Hm.")]


def test_report_1_spelled_tags_are_text_if_the_vocabulary_has_them() -> None:
    made = new_parser(
        ThinkingTags.from_template(TEMPLATE),
        open_tags=None, partial_answer=None, tools=(), call_prefix="", spells_tags=False,
    )  # fmt: skip
    written = "<|channel|> opens a channel, <|message|> a message."
    assert joined([*made.feed(written), *made.finish()]) == [("text", written)]


@pytest.mark.parametrize("written", [f"Write {ANALYSIS} first.", "a <|end|> b", "a <|start|>"])
def test_report_1_tags_that_an_answer_spells_are_text(written: str) -> None:
    reading = parser()
    pieces = [*reading.feed("<|channel|>", control=True), *reading.feed("final")]
    pieces += [*reading.feed("<|message|>", control=True), *reading.feed(written)]
    assert joined(pieces + reading.finish()) == [("text", written)]


def test_report_1_thinking_about_tags_stays_thinking() -> None:
    reading = parser()
    pieces = [*reading.feed("<|channel|>", control=True), *reading.feed("analysis")]
    pieces += [*reading.feed("<|message|>", control=True), *reading.feed("The <|end|> tag\nhm")]
    assert reading.open_thinking is HARMONY
    assert joined(pieces + reading.finish()) == [("thinking", "The <|end|> tag\nhm")]


def test_report_1_a_continued_answer_continues_in_its_text() -> None:
    assert parsed(" and on", begun="So") == [("text", " and on")]


def test_report_1_the_other_formats_have_the_other_parser() -> None:
    for template in ("", "<think>", "<|channel>thought"):
        made = new_parser(
            ThinkingTags.from_template(template),
            open_tags=None, partial_answer=None, tools=(), call_prefix="",
        )  # fmt: skip
        assert isinstance(made, AnswerParser)


@pytest.mark.parametrize(
    ("begun", "added"),
    [
        (None, ""),
        (ChatMessage("assistant", "So"), f"{FINAL}So"),
        (ChatMessage("assistant", "", thinking="hm"), f"{ANALYSIS}hm<|end|>{NEXT}{FINAL}"),
        (ChatMessage("assistant", "So", thinking="hm"), f"{ANALYSIS}hm<|end|>{NEXT}{FINAL}So"),
    ],
)
def test_report_1_a_model_with_channels(
    tmp_path: Path, begun: ChatMessage | None, added: str
) -> None:
    """Checks the prompt and the tokens of an answer, new or continued."""
    words = dict.fromkeys((*WORDS, "<|call|>", "<|return|>"), gguf.TokenType.CONTROL)
    path = write_sliding_model(tmp_path / "tiny.gguf", TEMPLATE, words)
    messages = (HELLO,) if begun is None else (HELLO, begun)
    settings = TurnSettings(thinking=True, tools=(TOOL,))
    with NativeLog(logging.getLogger("test")) as log:
        loaded = LoadedModel(Load(ModelSpec(path, context_tokens=512), 1, 1), log, lambda _: True)
        try:
            model, prompt = loaded.model, loaded.prompt(messages, settings)
            text = b"".join(model.piece(token, special=True) for token in prompt).decode()
            assert text.endswith(f"hello<|end|>{NEXT}{added}")
            reading = loaded.answer(prompt, messages, settings, "s")
            answer = "Hello!" if begun else f"{ANALYSIS}Hm.<|end|>{NEXT}{FINAL}Hello!"
            pieces: list[Piece] = []
            for token in model.tokenize(answer, special=True, start=False):
                assert not model.ends_answer(token) and token not in reading.end_tokens
                control = token in reading.text_controls
                piece = model.piece(token, special=control).decode()
                pieces += reading.feed(piece, control=control)
            assert joined(pieces + reading.finish()) == (
                [("text", "Hello!")] if begun else HELLO_AFTER_THINKING
            )
        finally:
            loaded.close()
