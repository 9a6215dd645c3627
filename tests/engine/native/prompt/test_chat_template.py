"""Chat templates: the rendered prompts, and the refused operations."""

from collections.abc import Iterator
from typing import Any

import pytest

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.engine import ChatMessage, EngineError, ModelLoadError, ToolCallDelta
from koel_tui.engine.native.prompt.chat_template import ChatTemplate
from tests.hostile_summary import Tally

HELLO = [ChatMessage("user", "hello")]
TALK = [ChatMessage("system", "be brief"), *HELLO]
NOW: dict[str, Any] = {
    "type": "function",
    "function": {"name": "now", "description": "The time in Zürich", "parameters": {}},
}
CALLED = [
    *HELLO,
    ChatMessage("assistant", "", tool_calls=(ToolCallDelta("c1", "now", '{"tz": "CET"}'),)),
    ChatMessage("tool", "noon", tool_call_id="c1"),
]
BY_ROLE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
ALTERNATING = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)


class Templates:
    """Creates templates and closes them."""

    def __init__(self) -> None:
        self.made: list[ChatTemplate] = []

    def __call__(self, source: str) -> ChatTemplate:
        made = ChatTemplate(source, model="tiny", bos="<s>", eos="</s>")
        self.made.append(made)
        return made


@pytest.fixture
def template() -> Iterator[Templates]:
    templates = Templates()
    yield templates
    for made in templates.made:
        made.close()


def test_template_of_chatml_is_rendered(template: Templates) -> None:
    assert template(BUILT_IN_TEMPLATES["chatml"]).render(HELLO).text == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("chatml", "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
         "<|im_start|>assistant\nhi<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n"
         "<|im_start|>assistant\n"),
        ("gemma", "<start_of_turn>user\nbe brief\n\nhello<end_of_turn>\n"
         "<start_of_turn>model\nhi<end_of_turn>\n<start_of_turn>user\nhello<end_of_turn>\n"
         "<start_of_turn>model\n"),
        ("llama3", "<|start_header_id|>system<|end_header_id|>\n\nbe brief<|eot_id|>"
         "<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\nhi<|eot_id|>"
         "<|start_header_id|>user<|end_header_id|>\n\nhello<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n"),
        ("mistral", "[INST] be brief\n\nhello [/INST] hi</s>[INST] hello [/INST]"),
    ],
)  # fmt: skip
def test_template_that_is_built_in_is_rendered(template: Templates, name: str, prompt: str) -> None:
    talk = [*TALK, ChatMessage("assistant", "hi"), *HELLO]
    assert template(BUILT_IN_TEMPLATES[name]).render(talk).text == prompt
    assert "noon" in template(BUILT_IN_TEMPLATES[name]).render(CALLED, tools=[NOW]).text


def test_template_gets_special_tokens_and_functions(template: Templates) -> None:
    source = (
        "{{ bos_token }}{{ messages | tojson }}{% if false %}{{ raise_exception('x') }}{% endif %}"
        "{{ strftime_now('%Y') | length }}{% generation %}!{% endgeneration %}"
    )
    assert template(source).render(HELLO).text == '<s>[{"role": "user", "content": "hello"}]4!'


def test_template_any_character_comes_through(template: Templates) -> None:
    text = "é😀\u2028\n\r\x00\x1b\ud800"
    assert template(BY_ROLE).render([ChatMessage("user", text)]).text == f"[user]{text}"


def test_template_thinking_is_asked_for_and_reported(template: Templates) -> None:
    made = template(BY_ROLE + "{% if enable_thinking %}<think>{% endif %}")
    assert made.render(HELLO, thinking=True).text.endswith("<think>")
    assert made.render(HELLO).text == "[user]hello"
    assert made.thinking_tags.find_open_tags(made.render(HELLO, thinking=True).text) is not None


def test_template_that_refuses_names_the_model(template: Templates) -> None:
    with pytest.raises(EngineError, match=r"template of tiny failed.*roles must alternate"):
        template("{{ raise_exception('roles must alternate') }}").render(HELLO)


def test_template_that_cannot_be_read_names_the_model(template: Templates) -> None:
    with pytest.raises(ModelLoadError, match="template of tiny cannot be read"):
        template("{% if %}")


# Conversations that must be adapted to the template


def test_template_that_refuses_a_system_role_gets_it_in_the_first_question(
    template: Templates,
) -> None:
    assert template(ALTERNATING).render(TALK).text == "[user]be brief\n\nhello"


def test_template_that_drops_the_system_role_gets_it_in_the_first_question(
    template: Templates,
) -> None:
    source = (
        "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    )
    assert template(source).render(TALK).text == "[user]be brief\n\nhello"
    assert template("{{ messages | length }}").render(TALK).text == "2"


def test_template_that_wants_turns_gets_neighbours_as_one(template: Templates) -> None:
    talk = [*TALK, ChatMessage("user", "anyone?"), ChatMessage("assistant", "yes"), *HELLO]
    assert template(ALTERNATING).render(talk).text == (
        "[user]be brief\n\nhello\n\nanyone?[assistant]yes[user]hello"
    )


# Tools


def test_template_that_knows_tools_gets_them(template: Templates) -> None:
    made = template(
        "{% if not tools is defined %}{% set tools = none %}{% endif %}"
        "{% if tools %}{{ tools[0].function.name }}{% endif %}"
        "{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.arguments | tojson }}{% endfor %}{{ m.content }}{% endfor %}"
    )
    assert made.supports_tools
    assert made.render(CALLED, tools=[NOW]).text == 'nowhello{"tz": "CET"}noon'
    assert made.render(HELLO).text == "hello"


def test_template_that_prints_arguments_gets_them_as_text(template: Templates) -> None:
    made = template(
        "{{ tools }}{% for m in messages %}{% for c in m.tool_calls or [] %}"
        "{{ c.function.name + c.function.arguments }}{% endfor %}{% endfor %}"
    )
    assert made.render(CALLED).text == 'Nonenow{"tz": "CET"}'


def test_tool_arguments_that_are_nested_too_deeply_are_text(
    template: Templates, tally: Tally
) -> None:
    made = template("{{ tools }}{% for c in messages[0].tool_calls %}{{ c.id }}{% endfor %}")
    depths = (*range(900, 1000, 3), 200_000)  # some can be parsed but not serialized
    for depth in depths:
        call = ToolCallDelta("c1", "now", "[" * depth + "]" * depth)
        assert made.render([ChatMessage("assistant", "", tool_calls=(call,))]).text == "Nonec1"
    tally("hostile chat template", tried=len(depths))


def test_template_without_tools_gets_them_in_the_system_prompt(template: Templates) -> None:
    made = template(BY_ROLE)
    assert not made.supports_tools
    prompt = made.render([TALK[0], *CALLED], tools=[NOW]).text
    assert prompt.startswith("[system]be brief\n\nYou can call these tools:\n<tools>\n{")
    assert "The time in Zürich" in prompt
    assert prompt.endswith(
        '[user]hello[assistant]<tool_call>\n{"name": "now", "arguments": {"tz": "CET"}}\n'
        "</tool_call>[user]<tool_response>\nnoon\n</tool_response>"
    )
    assert made.render(HELLO, tools=[NOW]).text.startswith("[system]You can call")
    assert template(ALTERNATING).render(TALK, tools=[NOW]).text.endswith("is needed.\n\nhello")


@pytest.mark.parametrize(
    ("fitting", "offered"), [("gemma", "gemma fits this model"), ("", "chatml fits most models")]
)
def test_template_that_cannot_be_read_offers_the_built_in_one_that_fits(
    fitting: str, offered: str
) -> None:
    with pytest.raises(ModelLoadError, match=rf"--chat-template {offered}"):
        ChatTemplate("{% if %}", model="tiny", bos="", eos="", fitting=fitting)


def test_template_a_long_conversation_is_within_the_limits(template: Templates) -> None:
    talk = [ChatMessage("user", "hello" * 1000), ChatMessage("assistant", "hi")] * 1000
    assert (
        template(BUILT_IN_TEMPLATES["chatml"]).render([*talk, *HELLO]).text.endswith("assistant\n")
    )


def test_template_can_be_closed_twice(template: Templates) -> None:
    made = template(BUILT_IN_TEMPLATES["chatml"])
    made.close()
    made.close()
