"""A loaded model: weights, context, chat templates, adapters and KV cache."""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import llama_cpp

from koel_tui.chat_templates import OWN_TEMPLATE, RAW_COMPLETION, find_template
from koel_tui.engine.errors import ContextOverflowError, EngineError
from koel_tui.engine.native.adapters import Adapters
from koel_tui.engine.native.answer.answer_parser import AnswerParser
from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.answer.harmony_parser import HarmonyParser
from koel_tui.engine.native.answer.thinking_tags import HARMONY, Tags, ThinkingTags
from koel_tui.engine.native.context.free_memory import free_memory
from koel_tui.engine.native.context.kv_snapshot import Fingerprint, file_id
from koel_tui.engine.native.context.prompt_parts import common_prefix
from koel_tui.engine.native.control_tokens import PromptTokenizer
from koel_tui.engine.native.gpus import list_gpus
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.placed_model import load_placed
from koel_tui.engine.native.placement import Placement
from koel_tui.engine.native.prompt.chat_template import ChatTemplate, ChatTemplates
from koel_tui.engine.native.prompt.partial_answer import (
    continued_tags,
    find_partial_answer,
    raw_text,
    with_partial_answer,
)
from koel_tui.engine.types import (
    ChatMessage,
    MemoryReport,
    ModelCard,
    text_size,
)
from koel_tui.engine.wire_messages import Load
from koel_tui.models.ollama import describe_unused_adapters
from koel_tui.protocol.context_trimming import Counters, trim_to_fit
from koel_tui.protocol.turn_settings import TurnSettings

_FOLLOW_UP = "."
"""Text of an answer and a question that are not known yet."""
_TAIL_TOKENS = 64
"""Tokens at the end of a prompt to search for a tag: enough even if each byte is a token."""
_COUNTED_CHARACTERS = 16
"""Characters of a text to count per token of the context; a longer text does not fit."""


@dataclass(frozen=True, slots=True)
class TrimmedPrompt:
    """The messages that fit the context, their prompt, and the number of turns left out."""

    messages: tuple[ChatMessage, ...]
    prompt: list[int]
    dropped_turns: int


class LoadedModel:
    """A model with everything that a worker needs to run it.

    Use it from the owner thread only, except the methods that render or tokenize a prompt. These
    use the templates and the vocabulary, and no context: `template`, `prompt`, `checkpoint_tokens`,
    `trim_conversation` and `answer`. Call them from one thread at a time.
    """

    def __init__(self, load: Load, log: NativeLog, progress: Callable[[float], bool]) -> None:
        """Load the model. Raises `ModelLoadError`; everything is then freed."""
        with ExitStack() as on_failure:
            placement = Placement(load, list_gpus, free_memory)
            placed = load_placed(load, placement, log, progress)
            self.model, self.context = placed.model, placed.context
            on_failure.callback(self.model.close)
            on_failure.callback(self.context.close)
            spec = placement.spec
            self._file_id, self._kv_type = file_id(spec.path), spec.kv_type
            # A recurrent state cannot drop the tokens of a wrong draft.
            self.can_draft = spec.speculation and not self.context.is_recurrent
            self._tokenizer = PromptTokenizer(self.model)
            fitting = find_template(self._tokenizer.controls)
            self._templates = ChatTemplates(
                self.model.chat_template,
                model=self.model.name,
                bos=self.model.bos,
                eos=self.model.eos,
                spellings=self._tokenizer.spellings,
                fitting=fitting,
            )
            on_failure.callback(self._templates.close)
            self.adapters = Adapters(self.model, self.context, log)
            self.cache, self._slot_size = placed.cache, placed.slot_size
            self.card = ModelCard(
                name=self.model.name,
                context_tokens=self.context.context_tokens,
                slots=self.cache.max_slots,
                load_s=self.model.load_s,
                trained_tokens=self.model.trained_tokens,
                has_template=bool(self.model.chat_template),
                fitting_template=fitting,
                layers=placement.layers,
                cpu_layers=placement.cpu_layers,
                file_notice=describe_unused_adapters(spec.path),
            )
            on_failure.pop_all()  # nothing has failed

    def template(self, settings: TurnSettings) -> ChatTemplate:
        """Return the chat template of a turn. Raises `ChatTemplateError`."""
        name = settings.chat_template
        return self._templates.find(None if name == OWN_TEMPLATE else name)

    def prompt(self, messages: tuple[ChatMessage, ...], settings: TurnSettings) -> list[int]:
        """Return the tokens of a conversation, up to the position where the answer begins."""
        if settings.chat_template == RAW_COMPLETION:
            tokens = self._tokenizer.text_tokens(raw_text(messages))
            if not tokens:
                raise EngineError("There is no text to complete. Write some.")
            return tokens
        template = self.template(settings)
        tools, thinking = offered_tools(settings), requests_thinking(settings)
        partial_answer = find_partial_answer(messages)
        if partial_answer is None:
            prompt = template.render(messages, tools=tools, thinking=thinking)
        else:
            # Without thinking, a template may write an empty block, before the thinking so far.
            thinking = thinking or bool(partial_answer.thinking)
            prompt = template.render(messages[:-1], tools=tools, thinking=thinking)
            if forbids_thinking(settings):
                partial_answer = replace(partial_answer, thinking_is_open=False)
            prompt = with_partial_answer(prompt, partial_answer, template.thinking_tags)
        tokens = self._tokenizer.tokens(prompt)
        if forbids_thinking(settings):
            open_tags = self._find_open_tags(tokens, template.thinking_tags)
            if open_tags is not None:
                tokens += self.closing_tokens(open_tags)
        return tokens

    def checkpoint_tokens(
        self, messages: tuple[ChatMessage, ...], settings: TurnSettings, prompt: list[int]
    ) -> int:
        """Return how many tokens of a prompt the next question will reuse, 0 if all are kept.

        A recurrent model can return to these only with a checkpoint. The next prompt has the answer
        without its thinking, so it may differ before the end of this prompt.
        """
        if not self.context.is_recurrent:
            return 0
        answer = () if find_partial_answer(messages) else (ChatMessage("assistant", _FOLLOW_UP),)
        follow_up = (*messages, *answer, ChatMessage("user", _FOLLOW_UP))
        try:
            shared = common_prefix(self.prompt(follow_up, settings), prompt)
        except EngineError:  # the template rejects it, so nothing is known about the next prompt
            shared = len(prompt)
        return min(shared, len(prompt) - 1)

    def trim_conversation(
        self,
        messages: tuple[ChatMessage, ...],
        settings: TurnSettings,
        check: Callable[[], None] = lambda: None,
        *,
        omitted_turns: int = 0,
        omitted_size: int = 0,
    ) -> TrimmedPrompt:
        """Return the turn's system prompt and the part of a conversation that fits the context.

        The parent has left out `omitted_turns` of `omitted_size` characters before `messages`.
        `check` is called often and may raise, to abort. Raises `ContextOverflowError` when not
        even the newest turn fits.
        """
        if settings.system and not (messages and messages[0].role == "system"):
            messages = (ChatMessage("system", settings.system), *messages)
        context_tokens = self.context.context_tokens
        max_characters = _COUNTED_CHARACTERS * context_tokens
        prompts: dict[int, list[int]] = {}  # by their number of messages

        def measure(kept: tuple[ChatMessage, ...]) -> int:
            check()
            prompts[len(kept)] = self.prompt(kept, settings)
            return len(prompts[len(kept)])

        def count(message: ChatMessage) -> int:
            check()
            return sum(self._tokenizer.count(text[:max_characters]) for text in message.texts)

        trimmed = trim_to_fit(
            messages,
            Counters(measure, count, text_size),
            context_tokens=context_tokens,
            # For the answer: at most half the context, even if its limit is larger.
            reserve=min(settings.max_output_tokens or context_tokens // 4, context_tokens // 2),
            omitted_turns=omitted_turns,
            omitted_size=omitted_size,
        )
        if trimmed.tokens >= context_tokens:
            turns = "The newest turn with the system prompt" if trimmed.dropped_turns else ""
            raise ContextOverflowError(
                f"{turns or 'The conversation'} takes {trimmed.tokens} tokens, the context has "
                f"{context_tokens}. Shorten it or use a larger context (--context-tokens)."
            )
        prompt = prompts[len(trimmed.messages)]
        return TrimmedPrompt(trimmed.messages, prompt, trimmed.dropped_turns)

    def answer(
        self,
        prompt: list[int],
        messages: tuple[ChatMessage, ...],
        settings: TurnSettings,
        session_name: str,
    ) -> Answer:
        """Return the parser of the answer to `prompt`, the tokens of `messages`."""
        partial_answer: ChatMessage | None = None
        if settings.chat_template == RAW_COMPLETION:
            thinking_tags = ThinkingTags((), declared=False)
            markers: tuple[str, ...] = ()
        else:
            template = self.template(settings)
            thinking_tags, markers = template.thinking_tags, template.markers
            partial_answer = find_partial_answer(messages)
        closed_tags = None
        if forbids_thinking(settings):
            closed_tags = self._find_closed_tags(prompt, thinking_tags)
        open_tags = self._find_open_tags(prompt, thinking_tags) or closed_tags
        if partial_answer is not None and open_tags is None:
            open_tags = continued_tags(partial_answer, thinking_tags)
        controls = self._tokenizer.controls
        parser = new_parser(
            thinking_tags,
            open_tags=open_tags,
            partial_answer=partial_answer,
            tools=[tool_name(tool) for tool in offered_tools(settings)],
            call_prefix=f"{session_name}:{len(messages)}",
            spells_tags="<|message|>" not in controls,
        )
        if closed_tags is not None:
            parser.close_thinking()
        if isinstance(parser, HarmonyParser):
            markers = (*markers, *parser.ends)
        # A format with channels has markers in its tags, so they do not end the answer.
        tags = "".join(parser.tags)
        begun = partial_answer or ChatMessage("assistant", "")
        return Answer(
            parser,
            begun_text=begun.content,
            begun_thinking=begun.thinking if open_tags is not None else "",
            thinking=requests_thinking(settings),
            markers=[marker for marker in markers if marker not in controls],
            stops=settings.stop or (),
            text_controls=self._text_controls(parser.tags),
            end_tokens={
                controls[marker] for marker in markers if marker in controls and marker not in tags
            },
        )

    def closing_tokens(self, tags: Tags) -> list[int]:
        """Return the tokens that end the thinking, as the model writes them."""
        return self.model.tokenize(tags.closing, special=True, start=False)

    def _find_open_tags(self, prompt: list[int], thinking_tags: ThinkingTags) -> Tags | None:
        """Return the tags of the thinking block that a prompt leaves open."""
        return thinking_tags.find_open_tags(self._decode_tail(prompt))

    def _find_closed_tags(self, prompt: list[int], thinking_tags: ThinkingTags) -> Tags | None:
        """Return the tags of the thinking block that the last tokens of a prompt close."""
        closings = ((tags, self.closing_tokens(tags)) for tags in thinking_tags.thinking)
        return next((tags for tags, end in closings if prompt[-len(end) :] == end), None)

    def _decode_tail(self, prompt: list[int]) -> str:
        """Return the end of a prompt as text, long enough to contain a tag."""
        pieces = (self.model.piece(token, special=True) for token in prompt[-_TAIL_TOKENS:])
        return b"".join(pieces).decode("utf-8", "replace")

    def _text_controls(self, tags: Collection[str]) -> frozenset[int]:
        """Return the control tokens in tags, which must be read as text in the answer."""
        controls = frozenset(self._tokenizer.controls.values())
        tokens = (self.model.tokenize(tag, special=True, start=False) for tag in tags)
        return controls.intersection(chain.from_iterable(tokens))

    def fingerprint(self, lora: Path | None) -> Fingerprint:
        """Return the fingerprint of the KV snapshots that are valid here."""
        return Fingerprint(
            library=llama_cpp.__version__,
            model=self._file_id,
            kv_type=self._kv_type,
            lora=self.adapters.file_id(lora),
        )

    def memory(self) -> MemoryReport:
        """Return the bytes of the weights, the context and each session."""
        slots = self.context.slots
        return MemoryReport(
            weights_bytes=self.model.weights_bytes,
            context_bytes=slots * self._slot_size.slot_bytes(self.context.context_tokens),
            sessions=self.cache.memory(),
            slots=slots,
            max_slots=self.cache.max_slots,
        )

    def close(self) -> None:
        """Stop the template processes, then free the context and the weights."""
        self._templates.close()
        self.context.close()
        self.model.close()


def new_parser(
    thinking_tags: ThinkingTags,
    *,
    open_tags: Tags | None,
    partial_answer: ChatMessage | None,
    tools: Collection[str],
    call_prefix: str,
    spells_tags: bool = True,
) -> AnswerParser | HarmonyParser:
    """Return the parser of an answer in the format with these thinking tags.

    `open_tags` is the thinking that the prompt leaves open, `partial_answer` the part of the answer
    that is in the prompt. `spells_tags` is as in `HarmonyParser`.
    """
    begun = partial_answer if partial_answer is not None and open_tags is None else None
    is_open = partial_answer is not None and partial_answer.thinking_is_open
    begun_text = "" if begun is None else begun.content
    begun_thinking = partial_answer.thinking.lstrip() if partial_answer and is_open else ""
    is_harmony = thinking_tags.declared and HARMONY in thinking_tags.thinking
    parser = AnswerParser(
        ThinkingTags((), declared=False) if is_harmony else thinking_tags,
        open_tags=None if is_harmony else open_tags,
        begun_thinking="" if is_harmony else begun_thinking,
        begun_text=begun_text,
        tools=tools,
        call_prefix=call_prefix,
    )
    if not is_harmony:
        return parser
    has_thinking = begun is not None and bool(begun.thinking.strip())
    return HarmonyParser(
        parser,
        open_tags=open_tags,
        has_thinking=bool(begun_thinking),
        has_text=has_thinking or bool(begun_text.strip()),
        spells_tags=spells_tags,
    )


def tool_name(tool: Mapping[str, object]) -> str:
    """Return the name of a function tool, '' if it has none."""
    function = tool.get("function", tool)
    return str(function.get("name", "")) if isinstance(function, Mapping) else ""


def requests_thinking(settings: TurnSettings) -> bool:
    """Return whether the model is asked to think, and its thinking is shown."""
    return bool(settings.thinking)


def forbids_thinking(settings: TurnSettings) -> bool:
    """Return whether the thinking budget is 0, so thinking ends before its first token."""
    # False is equal to 0, but not a budget: the model may still think, hidden.
    return settings.thinking == 0 and not isinstance(settings.thinking, bool)


def offered_tools(settings: TurnSettings) -> tuple[Mapping[str, Any], ...]:
    """Return the tools that a turn offers to the model."""
    return () if settings.tool_choice == "none" else settings.tools or ()
