"""The model's chat template: untrusted Jinja, rendered in a sandbox."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.values import ChatMessage

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What a model without a template gets: the form most chat models know."""


class ChatTemplate:
    """Renders conversations into the prompt text a model was trained on."""

    def __init__(self, source: str, *, model: str, bos: str, eos: str) -> None:
        """Compile `source` ('' means ChatML). Raises `ModelLoadError` naming the model."""
        self._model = model
        self._special = {"bos_token": bos, "eos_token": eos}
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source or CHATML)
        except (TemplateError, RecursionError) as error:
            raise ModelLoadError(
                f"The chat template of {model} cannot be read: {error}. Choose another model."
            ) from error

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """Return the prompt, ending where the assistant's answer begins.

        Raises `EngineError` naming the model when the template refuses or fails.
        """
        try:
            return self._template.render(
                messages=[_as_dict(message) for message in messages],
                add_generation_prompt=True,
                **self._special,
            )
        except (TemplateError, ValueError, TypeError, KeyError, ArithmeticError) as error:
            raise EngineError(self._failed(error)) from error
        except (RecursionError, MemoryError) as error:
            raise EngineError(self._failed(error)) from error

    def _failed(self, error: BaseException) -> str:
        reason = str(error) or type(error).__name__
        return (
            f"The chat template of {self._model} failed on this conversation: {reason}. "
            "Change the system prompt or choose another model."
        )


def _as_dict(message: ChatMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return fields


def _to_json(value: object, indent: int | None = None) -> str:
    # Jinja's own filter escapes for HTML, which no model was trained on.
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)
