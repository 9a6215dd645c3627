"""Chat templates, which render a conversation to the prompt format of the model's training."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from koel_tui.chat_templates import BUILT_IN_TEMPLATES, CHATML, RAW_COMPLETION
from koel_tui.engine.errors import ChatTemplateError
from koel_tui.engine.native.answer.answer_end import turn_markers
from koel_tui.engine.native.answer.thinking_tags import HARMONY, ThinkingTags
from koel_tui.engine.native.control_tokens import RenderedPrompt, Spellings
from koel_tui.engine.native.prompt.data_spans import (
    CharacterSubstitution,
    iter_strings,
    map_strings,
    may_form_control_token,
)
from koel_tui.engine.native.prompt.template_process import Renderer, RenderError
from koel_tui.engine.native.prompt.tool_prompt import tools_as_text
from koel_tui.engine.types import ChatMessage

MAX_SOURCE_CHARACTERS = 256 * 1024
"""The maximum length of a template in characters; those of large models have some 20,000."""

_ROLES = ("system", "user", "assistant", "tool")
_Fields = dict[str, Any]
_Change = Callable[[str], str]


class ChatTemplate:
    """A renderer of conversations to prompts, in a child process. Close it."""

    def __init__(
        self,
        source: str,
        *,
        model: str,
        bos: str,
        eos: str,
        spellings: Spellings | None = None,
        fitting: str = "",
    ) -> None:
        """Compile `source`. Raises `ChatTemplateError` naming the model.

        `spellings` are those of the control tokens of the model's vocabulary, `fitting` is the
        built-in template that fits the model, '' if there is none.
        """
        self._model = model
        fits = f"{fitting} fits this model" if fitting else f"{CHATML} fits most models"
        self._next_step = (
            f"Use one that is built in (--chat-template {fits}), or choose another model."
        )
        self._spellings = spellings or Spellings(())
        self._characters = set(source + bos + eos)
        self._words = frozenset(re.findall(r"\w+", source))
        self._special = {"bos_token": bos, "eos_token": eos}
        self.thinking_tags = ThinkingTags.from_template(source)
        """The thinking tags of the model."""
        try:
            if len(source) > MAX_SOURCE_CHARACTERS:
                raise RenderError(f"it is longer than {MAX_SOURCE_CHARACTERS} characters")
            self._renderer = Renderer(source)
        except RenderError as error:
            raise ChatTemplateError(
                f"The chat template of {model} cannot be read: {error}. {self._next_step}"
            ) from error

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """The tags between an answer and the next question."""
        return turn_markers(self.render)

    @property
    def supports_tools(self) -> bool:
        """True if the template renders tools itself."""
        return "tools" in self._renderer.variables

    def render(
        self,
        messages: Sequence[ChatMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        thinking: bool = False,
    ) -> RenderedPrompt:
        """Return the prompt, ending where the assistant's answer begins.

        `tools` are functions in the format of OpenAI's API; a template without tool support gets
        them in the system prompt. `thinking` requests thinking if the model has the choice. If a
        template rejects a conversation or drops its system prompt, it gets a simpler form of the
        conversation. Raises `ChatTemplateError` naming the model when that fails, too.
        """
        if not self.supports_tools:
            messages, tools = tools_as_text(messages, tools), ()
        context = {
            "enable_thinking": thinking,
            "thinking": thinking,
            "add_generation_prompt": True,
            **self._special,
        }
        system = messages[0].content.strip() if messages and messages[0].role == "system" else ""
        incomplete: RenderedPrompt | None = None
        failure: RenderError | None = None
        for form in _forms(messages, tools):
            try:
                prompt = self._render_marked(form, context)
            except RenderError as error:
                failure = error
                if error.final:
                    break
                continue
            if system in prompt.text:  # else the template has dropped it
                return prompt
            incomplete = incomplete or prompt
        if incomplete is not None:
            return incomplete
        raise ChatTemplateError(
            f"The chat template of {self._model} failed on this conversation: {failure}. "
            f"{self._next_step}"
        ) from failure

    def _render_marked(self, form: "_Form", context: _Fields) -> RenderedPrompt:
        """Return the prompt of a form, with its data marked. Raises `RenderError`."""
        try:
            fields = form.fields(_identity)
            data = frozenset(iter_strings(fields))
        except RecursionError:
            raise RenderError("the conversation is nested too deeply") from None
        risky = [text for text in data if may_form_control_token(self._spellings, text)]
        plain = None
        try:
            plain = self._render_text({**context, **fields})
        except RenderError as error:
            if error.final or not risky:
                raise
        if plain is not None and not risky:
            return RenderedPrompt(plain, plain)
        try:
            substitution = CharacterSubstitution(self._spellings, self._characters.union(*data))
        except ValueError as error:
            raise RenderError(f"the conversation cannot be marked: {error}", final=True) from None
        # The template may have failed because of control tokens that data spells.
        change = self._except_template_words(substitution.replace_all)
        try:
            whole = self._render_text({**context, **form.fields(change)})
        except RenderError as error:
            if plain is None:
                raise
            reason = f"it fails where characters of control tokens are replaced ({error})"
            raise RenderError(reason, final=error.final) from error
        if plain is not None and substitution.restore(whole) == plain:
            return RenderedPrompt(plain, whole)
        marked = self._render_text({**context, **form.fields(substitution.replace_spelled)})
        if self._control_tokens(marked) != self._control_tokens(whole):
            # The template may have joined text into a control token, so hide the text from it.
            marked = whole
        return RenderedPrompt(substitution.restore(marked), marked)

    def _control_tokens(self, text: str) -> list[str]:
        return [span.spelling for span in self._spellings.spans(text)]

    def _except_template_words(self, change: _Change) -> _Change:
        """Return `change`, limited to strings that are not words of the template's source.

        A template may compare data with such a word, or use it as the name of a field.
        """

        def change_data(text: str) -> str:
            is_template_word = text in self._words and not self._spellings.is_part(text)
            return text if is_template_word else change(text)

        return change_data

    def _render_text(self, variables: _Fields) -> str:
        text = self._renderer.render(variables)
        if not text:
            raise RenderError("its output is empty")
        return text

    def close(self) -> None:
        """Stop the child process. Idempotent."""
        self._renderer.close()


class ChatTemplates:
    """The model's own template, and the built-in ones that sessions use. Close it."""

    def __init__(
        self,
        model_template: str,
        *,
        model: str,
        bos: str,
        eos: str,
        spellings: Spellings,
        fitting: str = "",
    ) -> None:
        """An invalid template of the model is reported when it is used, not here.

        For `spellings` and `fitting` see `ChatTemplate`.
        """
        self._model_template = model_template
        self._names = {"model": model, "bos": bos, "eos": eos}
        self._spellings = spellings
        self._fitting = fitting
        self._compiled: dict[str | None, ChatTemplate] = {}
        with suppress(ChatTemplateError):
            self.find(None)  # compile it now, so that the first turn need not wait

    def find(self, name: str | None) -> ChatTemplate:
        """Return the template of this name, None for the model's. Raises `ChatTemplateError`."""
        if name not in self._compiled:
            source = self._model_template if name is None else BUILT_IN_TEMPLATES[name]
            if not source:
                names = self._fitting or "|".join(BUILT_IN_TEMPLATES)
                fitting = " that fits it" if self._fitting else ""
                raise ChatTemplateError(
                    f"{self._names['model']} has no chat template. Choose a built-in one{fitting} "
                    f"(--chat-template {names}), or raw completion "
                    f"(--chat-template {RAW_COMPLETION})."
                )
            template = ChatTemplate(
                source, spellings=self._spellings, fitting=self._fitting, **self._names
            )
            own_tags = ThinkingTags.from_template(self._model_template)
            if not template.thinking_tags.declared and HARMONY not in own_tags.thinking:
                template.thinking_tags = own_tags  # the model was trained with them
            self._compiled[name] = template
        return self._compiled[name]

    def close(self) -> None:
        """Stop the child processes. Idempotent."""
        for template in self._compiled.values():
            template.close()


@dataclass(frozen=True, slots=True)
class _Form:
    """A conversation and its tools in a form that templates expect."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Any]]
    arguments: Callable[[str], object]

    def fields(self, change: _Change) -> _Fields:
        """Return the template's variables, with `change` applied to every string of data."""

        def data(value: object) -> Any:
            return map_strings(value, change)

        return {
            "messages": [_fields(message, self.arguments, data) for message in self.messages],
            "tools": data(list(self.tools)) or None,
        }


def _forms(messages: Sequence[ChatMessage], tools: Sequence[Mapping[str, Any]]) -> Iterator[_Form]:
    """Yield the forms of the conversation that templates expect, the usual one first."""
    with_calls = any(message.tool_calls for message in messages)
    for conversation in (messages, _simplify(messages)):
        if conversation == messages and conversation is not messages:
            return
        yield _Form(conversation, tools, _parse_arguments)
        if with_calls:  # some templates print the arguments unchanged, so they need text
            yield _Form(conversation, tools, str)


def _simplify(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the conversation without system messages and with alternating roles.

    Consecutive messages of a role are merged (except tool calls and results), so a system prompt
    becomes the start of the first question.
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


def _parse_arguments(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _identity(text: str) -> str:
    return text


def _fields(
    message: ChatMessage, arguments: Callable[[str], object], data: Callable[[object], Any]
) -> _Fields:
    role = message.role if message.role in _ROLES else data(message.role)
    fields: _Fields = {"role": role, "content": data(message.content)}
    if message.name is not None:
        fields["name"] = data(message.name)
    if message.tool_call_id is not None:
        fields["tool_call_id"] = data(message.tool_call_id)
    if message.tool_calls:
        fields["tool_calls"] = [
            {
                "id": data(call.id),
                "type": "function",
                "function": {"name": data(call.name), "arguments": data(arguments(call.arguments))},
            }
            for call in message.tool_calls
        ]
    return fields
