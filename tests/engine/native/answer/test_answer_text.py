"""Parsing an answer for a template: where thinking may begin, and which control tokens count."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import gguf
import pytest

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.engine import (
    ChatMessage,
    ChatTemplateError,
    Engine,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    TurnSettings,
)
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.wire_messages import Load
from tests.engine.tiny_models import CONTROL, write_sliding_model

CHATML = BUILT_IN_TEMPLATES["chatml"]
ALWAYS = CHATML + "{{ '<think>\n' }}"
ANALYSIS = CHATML + "{{ '<|channel|>analysis<|message|>' }}"
CHANNEL = CHATML.replace("<|im_end|>", "<channel|>") + "{# <|channel>thought #}"
HELLO = ChatMessage("user", "hello")
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {}}}
THINKING = TurnSettings(thinking=True, tools=(TOOL,))
NO_WORDS: Mapping[str, gguf.TokenType] = MappingProxyType({})


@contextmanager
def loaded(folder: Path, template: str) -> Iterator[LoadedModel]:
    path = write_sliding_model(folder / "tiny.gguf", template)
    with NativeLog(logging.getLogger("test")) as log:
        model = LoadedModel(Load(ModelSpec(path, context_tokens=512), 1, 1), log, lambda _: True)
        try:
            yield model
        finally:
            model.close()


def read(
    folder: Path, answer: str, begun: str = "", *, template: str = CHATML, choice: str = "own"
) -> str:
    """Return the parsed answer, with thinking in round and tool calls in square brackets."""
    settings = TurnSettings(chat_template=choice).over(THINKING)
    messages = (HELLO, ChatMessage("assistant", begun)) if begun else (HELLO,)
    with loaded(folder, template) as model:
        prompt = list(model.prompt(messages, settings))
        reading = model.answer(prompt, messages, settings, "s")
    pieces = reading.feed(answer, control=False) + reading.finish()
    shown = ""
    for piece in pieces:
        match piece:
            case TextDelta(text=text):
                shown += text
            case ThinkingDelta(text=text):
                shown += f"({text})"
            case ToolCallDelta(name=name):
                shown += f"[{name}]"
    return shown


CALL = '{"name": "clock", "parameters": {}}'


@pytest.mark.parametrize(
    ("begun", "template", "answer", "shown"),
    [
        ("", CHATML, "<think>hm</think>yes", "(hm)yes"),
        ("So", CHATML, "<think>hm</think>yes", "<think>hm</think>yes"),
        (" \n", CHATML, "<think>hm</think>yes", "(hm)yes"),
        ("", ALWAYS, "hm</think>yes", "(hm)yes"),
        ("So", ALWAYS, "<think>hm</think>", "<think>hm</think>"),
        ("<think>\n", ALWAYS, f"hm</think>{CALL}", "(hm)[clock]"),  # the answer begins after it
        ("<think>\n", CHATML, "hm</think>yes", "hm</think>yes"),  # the template has no such tag
        ("", ANALYSIS, "hm", "(hm)"),  # a long tag in a vocabulary of bytes
        ("Use <|channel|>analysis<|message|>", ANALYSIS, "hm", "(hm)"),
    ],
    ids=[
        "first",
        "later",
        "after-space",
        "open",
        "later-open",
        "prefilled",
        "unknown-tag",
        "long-tag",
        "long-tag-prefilled",
    ],
)
def test_b20_thinking_begins_where_the_answer_does(
    tmp_path: Path, begun: str, template: str, answer: str, shown: str
) -> None:
    assert read(tmp_path, answer, begun, template=template) == shown


@pytest.mark.parametrize("answer", ["<think>hm</think>yes", "a<|im_end|>\nb"])
def test_b20_completed_text_is_text_alone(tmp_path: Path, answer: str) -> None:
    assert read(tmp_path, answer, template=ALWAYS, choice="none") == answer


def test_report_20_the_error_of_a_missing_template_names_the_choices(
    tmp_path: Path,
) -> None:
    """The window, `ask` and `models probe` show this: see the tests of their packages."""
    with loaded(tmp_path, "") as model:
        assert not model.card.has_template
        with pytest.raises(ChatTemplateError, match=r"no chat template.*--chat-template none"):
            model.prompt((HELLO,), TurnSettings())


@pytest.mark.parametrize(
    ("choice", "marker", "turn"),
    [
        ("gemma", "<end_of_turn>", "<start_of_turn>"),
        ("llama3", "<|eot_id|>", "<|start_header_id|>"),
        ("mistral", "[INST]", " [/INST]"),
    ],
)
def test_report_21_a_turn_marker_in_ordinary_tokens_ends_the_answer(
    tmp_path: Path, choice: str, marker: str, turn: str
) -> None:
    answer = f"Hi.{marker}\n{turn}user\nMore?"
    assert read(tmp_path, answer, choice=choice) == "Hi."
    fenced = f"```\n{marker}\n```\nSo `{marker}` ends it."
    assert read(tmp_path, fenced, choice=choice) == fenced
    assert read(tmp_path, f"Hi.{turn}", choice=choice) == ("Hi." + turn * (choice == "mistral"))


async def forced(
    path: Path, words: Mapping[str, gguf.TokenType], spelled: str
) -> tuple[str, str, str]:
    """Return text, thinking and end reason of an answer in which one token is always drawn."""
    token = len(CONTROL) + 256 + list(words).index(spelled)
    engine = await Engine.load(ModelSpec(path, context_tokens=256))
    text, thinking, reason = "", "", ""
    try:
        session = await engine.open_session(
            sampling=Sampling(temperature=0, logit_bias={token: 100.0}),
            max_output_tokens=3,
            thinking=True,
        )
        async for delta in session.stream([HELLO]):
            match delta:
                case TextDelta(text=piece):
                    text += piece
                case ThinkingDelta(text=piece):
                    thinking += piece
                case Finished():
                    reason = delta.reason
    finally:
        await engine.close()
    return text, thinking, reason


@pytest.mark.parametrize(
    ("template", "spelled", "said"),
    [
        (CHATML, "<think>", ("", "<think><think>", "length")),  # a tag that is a control token
        (CHATML, "<|other|>", ("", "", "length")),
        (CHATML.replace("<|im_end|>", "<|other|>"), "<|other|>", ("", "", "end")),
        (CHANNEL, "<channel|>", ("<channel|>" * 3, "", "length")),  # it also separates channels
    ],
    ids=["tag", "unused", "marker", "marker-and-tag"],
)
async def test_b20_a_control_token_of_the_vocabulary_counts_as_the_template_uses_it(
    tmp_path: Path, template: str, spelled: str, said: tuple[str, str, str]
) -> None:
    words = dict.fromkeys(("<think>", "<|other|>", "<channel|>"), gguf.TokenType.CONTROL)
    path = write_sliding_model(tmp_path / "tiny.gguf", template, words)
    assert await forced(path, words, spelled) == said
