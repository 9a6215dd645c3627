"""The chat template: what it renders, and what it may not do."""

import pytest

from koel_tui.engine import ChatMessage, EngineError, ModelLoadError
from koel_tui.engine.native.template import ChatTemplate

HELLO = [ChatMessage("user", "hello")]


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, model="tiny", bos="<s>", eos="</s>")


def test_template_without_a_source_is_chatml() -> None:
    assert template("").render(HELLO) == (
        "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_template_gets_special_tokens_and_functions() -> None:
    source = (
        "{{ bos_token }}{{ messages | tojson }}{% if false %}{{ raise_exception('x') }}{% endif %}"
    )
    assert template(source).render(HELLO) == '<s>[{"role": "user", "content": "hello"}]'


def test_template_that_refuses_names_the_model() -> None:
    with pytest.raises(EngineError, match=r"template of tiny failed.*roles must alternate"):
        template("{{ raise_exception('roles must alternate') }}").render(HELLO)


def test_template_that_cannot_be_read_names_the_model() -> None:
    with pytest.raises(ModelLoadError, match="template of tiny cannot be read"):
        template("{% if %}")


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_template_cannot_leave_its_sandbox(source: str) -> None:
    with pytest.raises(EngineError):
        template(source).render(HELLO)
