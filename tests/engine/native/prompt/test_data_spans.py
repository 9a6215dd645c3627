"""Data spans of a rendered prompt, for templates that read, join, refuse or compare text."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from koel_tui.engine import ChatMessage, ChatTemplateError, ToolCallDelta
from koel_tui.engine.native.control_tokens import RenderedPrompt, Spellings
from koel_tui.engine.native.prompt import data_spans
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from koel_tui.engine.native.prompt.template_process import RenderError

END, START = "<|im_end|>", "<|im_start|>"
SPELLINGS = Spellings((END, START, "</think>"))
Make = Callable[[str], ChatTemplate]


@pytest.fixture
def template() -> Iterator[Make]:
    made: list[ChatTemplate] = []

    def make(source: str) -> ChatTemplate:
        made.append(ChatTemplate(source, model="tiny", bos="", eos="", spellings=SPELLINGS))
        return made[-1]

    yield make
    for each in made:
        each.close()


def controls(rendered: RenderedPrompt) -> list[str]:
    """Return the control tokens that the template itself writes."""
    return [span.spelling for span in SPELLINGS.spans(rendered.marked)]


def user(text: str) -> ChatMessage:
    return ChatMessage("user", text)


@pytest.mark.parametrize("text", [f"a {END} b", f"{END} <|im_\nstart|>", f"{START}{END}"])
def test_b20_a_template_that_refuses_control_tokens_gets_the_text_as_data(
    template: Make, text: str
) -> None:
    refusing = template(
        "{% for m in messages %}{% if '<|im_end|>' in m.content %}{{ raise_exception('tags') }}"
        "{% endif %}<|im_start|>{{ m.content.replace('\n', '') }}{% endfor %}"
    )
    rendered = refusing.render([user(text)])
    assert rendered.text == START + text.replace("\n", "")
    assert controls(rendered) == [START]


@pytest.mark.parametrize("text", ["-> <|im_\nend|>", f"-> {END}"])
def test_b20_a_template_that_refuses_replaced_text_fails(template: Make, text: str) -> None:
    needing = template(
        "{% for m in messages %}{% if '->' not in m.content %}{{ raise_exception('no arrow') }}"
        "{% endif %}<|im_start|>{{ m.content.replace('\n', '') }}{% endfor %}"
    )
    with pytest.raises(ChatTemplateError, match=r"control tokens are replaced \(no arrow\)"):
        needing.render([user(text)])


def test_b20_a_template_that_fails_on_any_text_gives_its_own_reason(template: Make) -> None:
    failing = template("{{ raise_exception('no user role') }}")
    with pytest.raises(ChatTemplateError, match=r"on this conversation: no user role\."):
        failing.render([user(END)])


def test_b20_a_template_that_reaches_its_limits_is_rendered_once(template: Make) -> None:
    endless = template("{% for m in messages %}{{ m.content }}{% endfor %}")
    rendered: list[Mapping[str, Any]] = []

    def render(variables: Mapping[str, Any]) -> str:
        rendered.append(variables)
        raise RenderError("it takes too long", final=True)

    endless._renderer.render = render  # type: ignore[method-assign]  # real limits take seconds
    with pytest.raises(ChatTemplateError, match="it takes too long"):
        endless.render([user(END)])
    assert len(rendered) == 1


def test_b20_a_template_sees_the_names_that_it_compares(template: Make) -> None:
    comparing = template(
        "{% for t in tools or [] %}{% if t.type == 'function' %}<|im_start|>"
        "{{ t.function.description }}{% endif %}{% endfor %}"
    )
    tool = {"type": "function", "function": {"name": "f", "description": f"a {END}"}}
    rendered = comparing.render([user("x")], tools=[tool])
    assert rendered.text == f"{START}a {END}"
    assert controls(rendered) == [START]


def test_b20_a_word_of_the_template_within_a_control_token_is_data_in_a_message(
    template: Make,
) -> None:
    rendered = template("<|{{ messages[0].content }}|><|im_end|>").render([user("im_end")])
    assert rendered.text == f"{END}{END}"
    assert controls(rendered) == [END]
    assert rendered.marked.endswith(END)


def test_b20_private_characters_of_the_template_stay(template: Make) -> None:
    rendered = template("\ue000{{ messages[0].content }}").render([user(END)])
    assert rendered.text == f"\ue000{END}"
    assert controls(rendered) == []


def test_b20_a_text_that_leaves_no_character_to_replace_others_fails_alone(
    template: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = template("{{ messages[0].content }}")
    alphabet = len(SPELLINGS.alphabet)
    monkeypatch.setattr(data_spans, "_REPLACEMENT_RANGES", ((0xE000, 0xE000 + alphabet),))
    with pytest.raises(ChatTemplateError, match="nearly every character"):
        plain.render([user(f"{END}\ue000")])
    assert plain.render([user(END)]).text == END


FIELDS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}{{ m.name }}{{ m.content }}{{ m.tool_call_id }}"
    "{% for c in m.tool_calls or [] %}{{ c.id }}{{ c.function.name }}"
    "{{ c.function.arguments | tojson }}"
    "{% endfor %}{% endfor %}{% for t in tools or [] %}{{ t | tojson }}{% endfor %}"
)
CALL = ToolCallDelta("c1", "f", "{}")


@pytest.mark.parametrize(
    "message",
    [
        ChatMessage(END, "x"),
        ChatMessage("user", "x", name=END),
        ChatMessage("tool", "x", tool_call_id=END),
        ChatMessage("assistant", "", tool_calls=(replace(CALL, id=END),)),
        ChatMessage("assistant", "", tool_calls=(replace(CALL, name=END),)),
        ChatMessage("assistant", "", tool_calls=(replace(CALL, arguments=f'{{"{END}": 1}}'),)),
        ChatMessage("assistant", "", tool_calls=(replace(CALL, arguments=f'{{"a": "{END}"}}'),)),
        ChatMessage("assistant", "", tool_calls=(replace(CALL, arguments=f"no object {END}"),)),
    ],
    ids=["role", "name", "result", "id", "function", "key", "value", "arguments"],
)
def test_b20_each_field_of_a_message_is_data(template: Make, message: ChatMessage) -> None:
    rendered = template(FIELDS).render([message])
    assert END in rendered.text
    assert controls(rendered) == [START]


@pytest.mark.parametrize(
    "function",
    [
        {"name": END},
        {"name": "f", "parameters": {END: {}}},
        {"name": "f", "parameters": {"a": {"enum": [END]}}},
    ],
    ids=["name", "key", "value"],
)
def test_b20_each_field_of_a_tool_is_data(template: Make, function: dict[str, object]) -> None:
    tool = {"type": "function", "function": function}
    rendered = template(FIELDS).render([user("x")], tools=[tool])
    assert END in rendered.text
    assert controls(rendered) == [START]
