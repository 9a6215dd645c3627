"""The settings of one turn on real models: they take effect, and the context is kept."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.engine import (
    ChatMessage,
    ContextOverflowError,
    Engine,
    EngineHost,
    EngineSession,
    Finished,
    ModelSpec,
    Sampling,
    SessionMetrics,
    TextDelta,
    ThinkingDelta,
    TurnSettings,
)
from tests.engine.tiny_models import CONTROL, write_sliding_model

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASKED = (
    ChatMessage("user", "My name is Alice, and I live at the harbour."),
    ChatMessage("assistant", "Hello Alice."),
    ChatMessage("user", "What is my name?"),
)
BASE = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=12)
TOOL = {
    "type": "function",
    "function": {"name": "clock", "description": "tells the time", "parameters": {}},
}


@dataclass(frozen=True)
class Said:
    text: str
    thinking: str
    reason: str
    metrics: SessionMetrics


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(starter_path: Path) -> AsyncIterator[EngineHost]:
    spec = ModelSpec(starter_path, context_tokens=1024, slots=2, threads=1)
    loaded = await EngineHost.load(spec)
    yield loaded
    await loaded.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(host: EngineHost) -> AsyncIterator[EngineSession]:
    opened = await host.open_session("test", BASE)
    yield opened
    await opened.close()


async def say(
    session: EngineSession,
    settings: TurnSettings | None = None,
    messages: tuple[ChatMessage, ...] | None = ASKED,
) -> Said:
    text, thinking, finished = "", "", Finished("error")
    async for delta in session.stream(messages, settings):
        match delta:
            case TextDelta(text=piece):
                text += piece
            case ThinkingDelta(text=piece):
                thinking += piece
            case Finished():
                finished = delta
    return Said(text, thinking, finished.reason, finished.metrics)


SAME_PROMPT: dict[str, Any] = {
    "sampling": Sampling(temperature=0, logit_bias={1000: 100.0}),
    "max_output_tokens": 2,
    "schema": {"const": "yes"},
    "stop": ("name",),
}


@pytest.mark.parametrize("name", SAME_PROMPT)
async def test_a_setting_that_leaves_the_prompt_keeps_all_of_it(
    session: EngineSession, name: str
) -> None:
    first = await say(session)
    assert "name" in first.text
    changed = await say(session, TurnSettings(**{name: SAME_PROMPT[name]}))
    assert changed.metrics.prompt_tokens == first.metrics.prompt_tokens
    assert changed.metrics.reused_tokens == first.metrics.prompt_tokens - 1
    assert changed.text != first.text
    again = await say(session)
    assert again.metrics.reused_tokens == first.metrics.prompt_tokens - 1
    assert again.text == first.text


OTHER_PROMPT: dict[str, Any] = {
    "system": "Be brief.",
    "tools": (TOOL,),
    "chat_template": "gemma",
    "prefill": "You are called",
}


@pytest.mark.parametrize("name", OTHER_PROMPT)
async def test_a_setting_that_changes_the_prompt_keeps_the_common_part(
    session: EngineSession, host: EngineHost, name: str
) -> None:
    first = await say(session)
    settings = TurnSettings(**{name: OTHER_PROMPT[name]})
    changed = await say(session, settings)
    assert changed.metrics.prompt_tokens != first.metrics.prompt_tokens
    least = {"chat_template": 0, "prefill": first.metrics.prompt_tokens}.get(name, 2)
    assert changed.metrics.reused_tokens >= least
    fresh = await host.open_session("fresh", settings.over(BASE))
    assert (await say(fresh)).text == changed.text  # including the settings of the session
    await fresh.close()
    assert (await say(session)).text == first.text
    assert host.sessions == (session,)


async def test_tools_are_not_offered_with_the_choice_none(host: EngineHost) -> None:
    session = await host.open_session("tools", BASE, tools=[TOOL])
    with_tools = await say(session)
    without = await say(session, TurnSettings(tool_choice="none"))
    removed = await say(session, TurnSettings(tools=()))
    await session.close()
    assert with_tools.metrics.prompt_tokens > without.metrics.prompt_tokens
    assert without.metrics.prompt_tokens == removed.metrics.prompt_tokens
    assert without.text == removed.text


# Stop strings. The schema forces the model to write a certain text.


@pytest.mark.parametrize(
    ("text", "stop", "shown"),
    [
        ("one two three four", ("three",), '"one two '),
        ("one two three four", ("wo th", "three"), '"one t'),
        ("one two three four", ("three fx", "zzz"), '"one two three four"'),
        ("abababac", ("abac",), '"abab'),
        ("ends in the middle", ('middle"x',), '"ends in the middle"'),
        ("grüße an alle", ("üß",), '"gr'),
        ("one", ('"',), ""),
    ],
)
async def test_a_stop_string_ends_the_answer_and_is_not_shown(
    session: EngineSession, text: str, stop: tuple[str, ...], shown: str
) -> None:
    settings = TurnSettings(schema={"const": text}, stop=stop, max_output_tokens=40)
    said = await say(session, settings)
    assert (said.text, said.reason) == (shown, "end")
    assert session.history[len(ASKED) :] == ((ChatMessage("assistant", shown),) if shown else ())


async def test_a_partial_stop_string_at_the_limit_is_text(session: EngineSession) -> None:
    whole = await say(session)
    cut = await say(session, TurnSettings(stop=(whole.text[-1] + "\0",)))
    assert (cut.text, cut.reason) == (whole.text, whole.reason)


# Prefill


async def test_the_answer_in_the_history_begins_with_the_prefill(session: EngineSession) -> None:
    said = await say(session, TurnSettings(prefill="You are called"))
    assert "Alice" in said.text and not said.text.startswith("You are called")
    assert session.history[-1] == ChatMessage("assistant", f"You are called{said.text}")
    session.add(ChatMessage("user", "And where do I live?"))
    following = await say(session, messages=None)
    total = said.metrics.prompt_tokens + said.metrics.output_tokens
    assert following.metrics.reused_tokens >= total - 1


async def test_a_prefill_is_added_to_an_answer_that_is_continued(session: EngineSession) -> None:
    begun = (*ASKED, ChatMessage("assistant", "You are"))
    whole = (*ASKED, ChatMessage("assistant", "You are called"))
    await say(session, None, whole)  # on some computers new contexts have slightly other logits
    said = await say(session, TurnSettings(prefill=" called"), begun)
    assert session.history[-1] == ChatMessage("assistant", f"You are called{said.text}")
    assert (await say(session, None, whole)).text == said.text


async def test_nothing_is_recorded_when_the_model_adds_nothing_to_the_prefill(
    session: EngineSession,
) -> None:
    settings = TurnSettings(prefill="Yes", schema={"const": "x"}, stop=('"',))
    assert (await say(session, settings)).text == ""
    assert session.history == ASKED


# Thinking


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    """A model with random weights and a template that opens the thinking, which never ends."""
    template = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\\n' }}"
    path = write_sliding_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf", template)
    engine = await Engine.load(ModelSpec(path, context_tokens=512, slots=2))
    yield engine
    await engine.close()


@pytest.mark.parametrize("budget", [1, 5, 20])
async def test_the_answer_begins_after_the_budget_of_thinking(thinker: Engine, budget: int) -> None:
    session = await thinker.open_session("t", BASE, max_output_tokens=60)
    unlimited = await say(session, TurnSettings(thinking=True))
    assert unlimited.thinking and not unlimited.text and unlimited.reason == "length"
    said = await say(session, TurnSettings(thinking=budget))
    await session.close()
    assert said.thinking == unlimited.thinking[:budget]  # one token is one letter
    assert said.text and "think" not in said.text
    assert said.metrics.output_tokens <= 60


async def test_a_budget_of_0_closes_the_thinking_at_once(thinker: Engine) -> None:
    session = await thinker.open_session("t", BASE)
    said = await say(session, TurnSettings(thinking=0))
    await session.close()
    assert said.thinking == "" and said.text


async def test_report_3_hidden_thinking_is_shown_if_there_is_no_answer(thinker: Engine) -> None:
    session = await thinker.open_session("t", BASE, max_output_tokens=40)
    shown = await say(session, TurnSettings(thinking=True))
    hidden = await say(session, TurnSettings(thinking=False))
    await session.close()
    assert (hidden.thinking, hidden.text, hidden.reason) == (shown.thinking, "", "length")


async def test_penalties_count_the_end_of_thinking(thinker: Engine) -> None:
    a, b = (len(CONTROL) + ord(letter) for letter in "ab")
    sampling = Sampling(
        temperature=0, logit_bias={a: 100.0, b: 60.0}, repeat_penalty=10, repeat_last_n=1
    )
    session = await thinker.open_session("t", BASE, sampling=sampling, max_output_tokens=16)
    thought = (await say(session, TurnSettings(thinking=True))).thinking
    said = await say(session, TurnSettings(thinking=1))
    await session.close()
    assert thought == "ab" * 8
    assert (said.thinking, said.text) == ("a", "ababa")


async def test_no_token_is_thinking_with_a_budget_of_0(thinker: Engine) -> None:
    session = await thinker.open_session("t", BASE)
    said = await say(session, TurnSettings(thinking=0, schema={"const": "yes"}))
    await session.close()
    assert (said.text, said.reason, said.metrics.output_tokens) == ('"yes"', "end", 5)


@pytest.mark.parametrize("room", [1, 2, 10])
async def test_a_budget_of_0_at_the_end_of_the_window_ends_with_length(
    thinker: Engine, room: int
) -> None:
    session = await thinker.open_session("t", BASE, thinking=0)
    said = await say(session, messages=(question(await most_letters(session) - room),))
    await session.close()
    assert said.metrics.prompt_tokens == 512 - room
    assert (said.metrics.output_tokens, said.reason) == (room, "length")
    assert said.thinking == ""


@pytest.mark.parametrize("excess", [0, 1, 5, 9])
async def test_a_budget_of_0_without_room_for_the_end_of_thinking_fails_alone(
    thinker: Engine, excess: int
) -> None:
    session = await thinker.open_session("t", BASE, thinking=0)
    most = await most_letters(session)
    with pytest.raises(ContextOverflowError, match=f"takes {512 + excess} tokens"):
        await say(session, messages=(question(most + excess),))
    assert (await say(session)).text
    await session.close()


async def test_the_end_of_thinking_counts_when_turns_are_left_out(thinker: Engine) -> None:
    session = await thinker.open_session("t", BASE, thinking=0, max_output_tokens=1)
    most = await most_letters(session)
    talk = (question(100), ChatMessage("assistant", "b"))
    within = await say(session, messages=(*talk, question(most - 200)))
    long = 511 - within.metrics.prompt_tokens + most - 200
    fitting = await say(session, messages=(*talk, question(long)))
    longer = await say(session, messages=(*talk, question(long + 1)))
    await session.close()
    assert fitting.metrics.prompt_tokens == 511
    assert longer.metrics.prompt_tokens < 450
    assert (fitting.reason, longer.reason) == ("length", "length")


def question(letters: int) -> ChatMessage:
    return ChatMessage("user", "a" * letters)


async def most_letters(session: EngineSession) -> int:
    """Return the number of letters in a question that fills the context of 512 tokens."""
    said = await say(session, TurnSettings(max_output_tokens=1), (question(100),))
    return 100 + 512 - said.metrics.prompt_tokens


async def test_an_answer_shorter_than_the_budget_ends_within_its_thinking(
    thinker: Engine,
) -> None:
    session = await thinker.open_session("t", BASE, max_output_tokens=6)
    said = await say(session, TurnSettings(thinking=5))
    await session.close()
    assert (len(said.thinking), said.text, said.reason) == (6, "", "length")


async def test_a_stop_string_in_thinking_is_not_looked_for(thinker: Engine) -> None:
    session = await thinker.open_session("t", BASE, max_output_tokens=40)
    thought = (await say(session, TurnSettings(thinking=5))).thinking
    said = await say(session, TurnSettings(thinking=5, stop=(thought[1:3],)))
    await session.close()
    assert said.thinking == thought
