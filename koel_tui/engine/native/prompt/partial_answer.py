"""Prompts that end with the beginning of an answer, and prompts without a chat template."""

from dataclasses import replace

from koel_tui.engine.native.answer.thinking_tags import (
    HARMONY,
    HARMONY_TEXT,
    HARMONY_TURN,
    Tags,
    ThinkingTags,
)
from koel_tui.engine.native.control_tokens import RenderedPrompt
from koel_tui.engine.types import ChatMessage


def continued_tags(partial_answer: ChatMessage, thinking_tags: ThinkingTags) -> Tags | None:
    """Return the tags of the unfinished thinking that the model continues; None without any."""
    is_open = partial_answer.thinking_is_open and not partial_answer.content
    if not (is_open and partial_answer.thinking.strip() and thinking_tags.declared):
        return None
    return thinking_tags.thinking[0]


def with_partial_answer(
    prompt: RenderedPrompt, partial_answer: ChatMessage, thinking_tags: ThinkingTags
) -> RenderedPrompt:
    """Return a prompt with the beginning of its answer: a closed block of thinking, then text.

    The block stays open if the model is to continue it. The thinking is omitted if the template has
    no thinking tags.
    """
    tags = thinking_tags.find_open_tags(prompt.text)
    continued = continued_tags(partial_answer, thinking_tags)
    if continued is not None:
        if tags is None:
            prompt = prompt.with_template_text(continued.start)
        if not prompt.text.endswith("\n"):
            prompt = prompt.with_template_text(continued.line_break)
        return prompt.with_data(partial_answer.thinking.lstrip())
    thinking = partial_answer.thinking.strip() if thinking_tags.declared else ""
    if thinking:
        if tags is None:
            tags = thinking_tags.thinking[0]
            prompt = prompt.with_template_text(tags.start)
        if not prompt.text.endswith("\n"):
            prompt = prompt.with_template_text(tags.line_break)
        prompt = prompt.with_data(thinking).with_template_text(tags.line_break)
    if tags is not None and (thinking or partial_answer.content):
        prompt = prompt.with_template_text(tags.closing)
    elif prompt.text.endswith(HARMONY_TURN) and HARMONY in thinking_tags.thinking:
        prompt = prompt.with_template_text(HARMONY_TEXT if partial_answer.content else "")
    return prompt.with_data(partial_answer.content)


def raw_text(messages: tuple[ChatMessage, ...]) -> str:
    """Return a conversation as plain text for raw completion.

    An answer directly continues the text before it; a blank line precedes any other message.
    """
    pieces: list[str] = []
    for message in messages:
        if pieces and message.role != "assistant":
            pieces.append("\n\n")
        pieces.append(message.content)
    return "".join(pieces)


def find_partial_answer(messages: tuple[ChatMessage, ...]) -> ChatMessage | None:
    """Return the last message if it is the beginning of an answer, else None."""
    return messages[-1] if messages and messages[-1].begins_answer else None


def with_prefill(messages: tuple[ChatMessage, ...], prefill: str | None) -> tuple[ChatMessage, ...]:
    """Return a conversation that ends with `prefill` as the beginning of the answer.

    If the answer has already begun, `prefill` is appended to it.
    """
    if not prefill:
        return messages
    partial_answer = find_partial_answer(messages)
    if partial_answer is not None:
        return (*messages[:-1], replace(partial_answer, content=partial_answer.content + prefill))
    return (*messages, ChatMessage("assistant", prefill))
