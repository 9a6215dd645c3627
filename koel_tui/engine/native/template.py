"""The model's chat template: from a conversation to the prompt its model was trained on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from koel_tui.engine.errors import EngineError, ModelLoadError
from koel_tui.engine.native.dialect import Dialect
from koel_tui.engine.native.renderer import Renderer, RenderError
from koel_tui.engine.native.tool_prompt import tools_as_text
from koel_tui.engine.values import ChatMessage

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What a model without a template gets: the form most chat models know."""

SOURCE_LIMIT = 256 * 1024
"""The longest template in characters; those of large models have some 20,000."""

_Fields = dict[str, Any]


class ChatTemplate:
    """Renders conversations into prompts, in a process of its own (see `sandbox`). Close it."""

    def __init__(self, source: str, *, model: str, bos: str, eos: str) -> None:
        """Compile `source` ('' means ChatML). Raises `ModelLoadError` naming the model."""
        self._model = model
        self._special = {"bos_token": bos, "eos_token": eos}
        self.dialect = Dialect.of_template(source)
        """How the model marks its thinking."""
        try:
            if len(source) > SOURCE_LIMIT:
                raise RenderError(f"it is longer than {SOURCE_LIMIT} characters")
            self._renderer = Renderer(source or CHATML)
        except RenderError as error:
            raise ModelLoadError(
                f"The chat template of {model} cannot be read: {error}. Choose another model."
            ) from error

    @property
    def knows_tools(self) -> bool:
        """Whether the template renders tools itself."""
        return "tools" in self._renderer.variables

    def render(
        self,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        thinking: bool = False,
    ) -> str:
        """Return the prompt, ending where the assistant's answer begins.

        `tools` are functions described as OpenAI's API does; a template that knows none gets
        them in the system prompt. `thinking` asks for thinking where the model has the choice.
        A template that refuses a conversation, or drops its system prompt, gets it in a plainer
        form. Raises `EngineError` naming the model when the template fails all the same.
        """
        if not self.knows_tools:
            messages, tools = tools_as_text(messages, tools), ()
        context = {
            "tools": list(tools) or None,
            "enable_thinking": thinking,
            "thinking": thinking,
            "add_generation_prompt": True,
            **self._special,
        }
        system = messages[0].content.strip() if messages and messages[0].role == "system" else ""
        incomplete: str | None = None
        failure: RenderError | None = None
        for form in _forms(messages):
            try:
                text = self._renderer.render({**context, "messages": form})
            except RenderError as error:
                failure = error
                if error.final:
                    break
                continue
            if system in text:  # else the template has dropped it
                return text
            incomplete = incomplete or text
        if incomplete is not None:
            return incomplete
        raise EngineError(
            f"The chat template of {self._model} failed on this conversation: {failure}. "
            "Change the system prompt or choose another model."
        ) from failure

    def close(self) -> None:
        """End the process that renders. Idempotent."""
        self._renderer.close()


def _forms(messages: Sequence[ChatMessage]) -> Iterator[list[_Fields]]:
    """Yield the conversation as templates want it, the usual way first."""
    with_calls = any(message.tool_calls for message in messages)
    for conversation in (messages, _plainer(messages)):
        if conversation == messages and conversation is not messages:
            return
        yield [_fields(message, _as_object) for message in conversation]
        if with_calls:  # some templates print the arguments as they are, and want them as text
            yield [_fields(message, str) for message in conversation]


def _plainer(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the conversation without system messages and with the roles taking turns.

    Neighbours that are both the user's become one message, so a system prompt comes to stand in
    front of the first question.
    """
    plain: list[ChatMessage] = []
    for message in messages:
        role = "user" if message.role == "system" else message.role
        last = plain[-1] if plain else None
        if last and last.role == role != "tool" and not (last.tool_calls or message.tool_calls):
            content = "\n\n".join(filter(None, (last.content, message.content)))
            plain[-1] = replace(last, content=content)
        else:
            plain.append(replace(message, role=role))
    return plain


def _as_object(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _fields(message: ChatMessage, arguments: Callable[[str], object]) -> _Fields:
    fields: _Fields = {"role": message.role, "content": message.content}
    if message.name is not None:
        fields["name"] = message.name
    if message.tool_call_id is not None:
        fields["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    return fields
