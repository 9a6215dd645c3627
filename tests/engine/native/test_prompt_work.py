"""The amount of text that a turn renders and tokenizes depends on the context size only."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine import ChatMessage, ContextOverflowError, ModelSpec, ToolCallDelta
from koel_tui.engine.native.loaded_model import LoadedModel, TrimmedPrompt
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.prompt.template_process import Renderer
from koel_tui.engine.native.weights import Model
from koel_tui.engine.wire_messages import Load
from koel_tui.protocol.turn_settings import TurnSettings

WINDOW = 1024
CALL = ToolCallDelta("c1", "look", '{"where": "' + "north " * 200 + '"}')


@pytest.fixture(scope="module")
def loaded(starter_path: Path) -> Iterator[LoadedModel]:
    with NativeLog(logging.getLogger("test")) as log:
        spec = ModelSpec(starter_path, context_tokens=WINDOW, threads=1)
        model = LoadedModel(Load(spec, 1, 1), log, lambda _: True)
        yield model
        model.close()


class Work:
    """The numbers of characters that were tokenized and rendered."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.tokenized = self.rendered = 0
        tokenize, render = Model.tokenize, Renderer.render

        def counting_tokenize(model: Model, text: str, **options: Any) -> list[int]:
            self.tokenized += len(text)
            return tokenize(model, text, **options)

        def counting_render(renderer: Renderer, variables: Any) -> str:
            text = render(renderer, variables)
            self.rendered += len(text)
            return text

        patch.setattr(Model, "tokenize", counting_tokenize)
        patch.setattr(Renderer, "render", counting_render)

    def done(self) -> tuple[int, int]:
        """Return the work since the last call."""
        work = self.tokenized, self.rendered
        self.tokenized = self.rendered = 0
        return work


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    return Work(monkeypatch)


def talk(count: int, name: str) -> tuple[ChatMessage, ...]:
    """Return a conversation of `count` unique messages and a question."""
    text = "The quick brown fox jumps over the lazy dog, and says so to everybody it meets. "
    messages = (
        ChatMessage("user" if number % 2 == 0 else "assistant", f"{name} {number}: {text * 3}")
        for number in range(count)
    )
    return (*messages, ChatMessage("user", f"{name}: and now?"))


def trim(loaded: LoadedModel, messages: tuple[ChatMessage, ...], **settings: Any) -> TrimmedPrompt:
    return loaded.trim_conversation(messages, TurnSettings(system="Be brief.", **settings))


@pytest.mark.parametrize("template", [None, RAW_COMPLETION])
def test_b12_a_turn_of_10_000_messages_is_no_more_work_than_one_of_300(
    loaded: LoadedModel, work: Work, template: str | None
) -> None:
    works = {}
    for count in (300, 10_000):
        trimmed = trim(loaded, talk(count, f"first {template}"), chat_template=template)
        assert count // 2 - 20 < trimmed.dropped_turns < count // 2
        assert WINDOW // 3 < len(trimmed.prompt) <= WINDOW * 3 // 4
        works[count] = work.done()
    assert works[10_000][0] <= 1.5 * works[300][0]
    assert works[10_000][1] <= 1.5 * works[300][1]


def test_the_next_turn_tokenizes_only_the_new_messages(loaded: LoadedModel, work: Work) -> None:
    messages = talk(300, "follow-up")
    trim(loaded, messages)
    first, _ = work.done()
    for number in range(20):
        new = (
            ChatMessage("assistant", f"Answer {number}: " + "a fox, " * 20),
            ChatMessage("user", f"Question {number}: " + "why? " * 20),
        )
        messages += new
        trimmed = trim(loaded, messages)
        tokenized, _ = work.done()
        # Once to count the tokens of the message, once as a piece of the prompt.
        assert tokenized <= 3 * sum(len(each.content) for each in new) < first / 3
    fresh = loaded.prompt(trimmed.messages, TurnSettings())
    assert fresh == trimmed.prompt


def test_a_long_conversation_of_tool_calls_fits(loaded: LoadedModel, work: Work) -> None:
    turn = (
        ChatMessage("user", "Where is it?"),
        ChatMessage("assistant", "", tool_calls=(CALL,)),
        ChatMessage("tool", "not there", tool_call_id="c1"),
        ChatMessage("assistant", "It is not there."),
    )
    trimmed = trim(loaded, (*turn * 500, ChatMessage("user", "And now?")))
    assert len(trimmed.messages) % 4 == 2 and trimmed.messages[1].role == "user"
    assert 495 < trimmed.dropped_turns < 500
    assert work.rendered < 100 * WINDOW


def test_one_old_message_that_is_much_too_large_is_not_tokenized_whole(
    loaded: LoadedModel, work: Work
) -> None:
    large = ChatMessage("user", "a huge attachment " * 100_000)
    messages = (large, ChatMessage("assistant", "I see."), *talk(4, "small"))
    trimmed = trim(loaded, messages)
    assert trimmed.messages == (ChatMessage("system", "Be brief."), *messages[2:])
    assert trimmed.dropped_turns == 1
    assert work.tokenized < 40 * WINDOW


def test_a_message_larger_than_the_context_is_an_error_with_both_numbers(
    loaded: LoadedModel,
) -> None:
    large = ChatMessage("user", "word " * 2000)
    tokens = len(loaded.prompt((large,), TurnSettings()))
    settings = TurnSettings()
    with pytest.raises(
        ContextOverflowError, match=rf"^The conversation takes {tokens} tokens, .* has {WINDOW}\b"
    ):
        loaded.trim_conversation((large,), settings)
    with pytest.raises(
        ContextOverflowError, match=rf"^The newest turn .* takes {tokens} tokens, the context"
    ):
        loaded.trim_conversation(
            (*talk(300, "old"), ChatMessage("assistant", "x"), large), settings
        )


def test_trimming_is_aborted_when_its_check_raises(loaded: LoadedModel, work: Work) -> None:
    checks = 0

    def check() -> None:
        nonlocal checks
        checks += 1
        if checks > 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        loaded.trim_conversation(talk(300, "given up"), TurnSettings(), check)
    assert checks == 4 and work.tokenized < WINDOW
