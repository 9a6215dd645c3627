"""The notices below the messages of a conversation: errors, run state, suggested actions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from koel_tui.chat_templates import CHATML, RAW_COMPLETION
from koel_tui.conversation.incomplete_answers import STOPPED, incomplete_reason, is_thinking_cut
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.conversation import Conversation
    from koel_tui.protocol import ChatState, KoelError


@dataclass(frozen=True, slots=True)
class Notice:
    """A line below the messages: an error, the state of a run, or a queued prompt.

    A click runs `action`, the id of a key binding, or retries the answer with the chat template
    `template`; both may be empty. `hints` are pairs of binding id and description, shown after the
    text.
    """

    kind: str
    text: str
    action: str = ""
    hints: tuple[tuple[str, str], ...] = ()
    template: str = ""


WELCOME = (
    Notice("welcome", "Ask anything. The model runs on this computer."),
    Notice("welcome", ""),
    Notice(
        "welcome", "", hints=(("prompt.send", "sends"), ("prompt.newline", "starts a new line."))
    ),
    Notice(
        "welcome", "", hints=(("tab.new", "opens another tab"), ("tab.open", "a saved thread."))
    ),
    Notice("welcome", "", hints=(("help", "shows all keys."),)),
    Notice("welcome", ""),
)
_CONTEXT_WARNING_RATIO = 0.85
_CHOOSE_MODEL = Notice("action", "  Choose a model ", "model", (("model", ""),))
_CHANGE_THREAD_MODEL = Notice(
    "action", "  Change the model of this thread ", "thread.settings",
    (("thread.settings", ""),),
)  # fmt: skip
_RETRY = Notice("action", "  Retry ", "run.retry", (("run.retry", ""),))
_RAW_COMPLETION = Notice(
    "action", "  Complete the text without a chat template · ",
    hints=(("thread.settings", f"sets the chat template {RAW_COMPLETION}"),),
    template=RAW_COMPLETION,
)  # fmt: skip
_CONTINUE_KEY = "run.go_on"
_MODEL_ERRORS = ("ModelLoadError", "RestartLimitError")


@dataclass(frozen=True, slots=True)
class ProgramModel:
    """The state of the program's model that notices depend on.

    `problem` is the reason why it cannot answer, `fitting_template` the built-in chat template
    that fits it; both may be empty.
    """

    problem: str = ""
    fitting_template: str = ""


def notices_for(conversation: "Conversation", model: ProgramModel) -> list[Notice]:
    """Return the notices below the messages; `model` is the state of the program's model."""
    state = conversation.state
    notices: list[Notice] = []
    if conversation.is_new:
        notices += WELCOME
    if left_out := conversation.metrics.last.trimmed_turns:
        notices.append(_context_warning(left_out_message(left_out)))
    elif (
        conversation.metrics.last.used_tokens
        > _CONTEXT_WARNING_RATIO * conversation.metrics.last.context_tokens
        > 0
    ):
        notices.append(
            _context_warning("The context is nearly full. The oldest turns will be left out soon.")
        )
    if conversation.read_only_reason:
        reason = f"This thread can only be read here. {conversation.read_only_reason}"
        notices.append(Notice("error", f"✗ {reason}"))
    elif conversation.problem:
        notices.append(Notice("error", f"✗ {conversation.problem}"))
    if conversation.meta.unusable_settings:
        notices.append(_unusable_settings_notice(conversation.meta.unusable_settings))
    notices += _run_end_notices(conversation, state, model)
    if conversation.is_busy and not _has_output(state):
        notices.append(Notice("wait", f"⌛ {conversation.activity.status_text}…"))
    if (branch_point := conversation.empty_branch) is not None:
        text = f"{branch_point.label} This branch is empty. "
        before = (("branch.previous", "shows the previous one."),)
        notices.append(Notice("hint", text, "branch.previous", before))
    return notices + [_queued_notice(text) for text in conversation.queue]


def left_out_message(turns: int) -> str:
    """Return the message for turns that did not fit the context."""
    if turns == 1:
        return "The oldest turn did not fit the context and was left out."
    return f"The oldest {turns} turns did not fit the context and were left out."


def template_for(conversation: "Conversation", model: ProgramModel) -> str:
    """Return the built-in chat template that fits the thread's model; empty if it is unknown."""
    return "" if conversation.meta.has_own_model else model.fitting_template


def _run_end_notices(
    conversation: "Conversation", state: "ChatState | None", model: ProgramModel
) -> list[Notice]:
    """Return how the last run ended and what can be done about it."""
    if state is not None and state.error is not None:
        return _error_notices(conversation, state, state.error, model)
    if state is not None and _was_cancelled_unanswered(state):
        return [_regenerate_notice("The answer was stopped before it began.")]
    if state is not None and _ended_without_text(conversation, state):
        return [_regenerate_notice("The model returned an empty answer.")]
    if model.problem:
        return [Notice("error", f"✗ {model.problem}")]
    if (
        state is not None
        and not conversation.is_busy
        and (reason := incomplete_reason(state.messages))
    ):
        if reason == STOPPED:  # the note of the answer shows the reason
            return [Notice("hint", "", _CONTINUE_KEY, ((_CONTINUE_KEY, "continues the answer."),))]
        hints: tuple[tuple[str, str], ...] = ((_CONTINUE_KEY, "continues it."),)
        if is_thinking_cut(state.messages[-1]):
            longer = ("thread.settings", "sets a longer limit.")
            hints = ((_CONTINUE_KEY, "continues it"), longer)
        return [Notice("hint", f"{reason} ", _CONTINUE_KEY, hints)]
    return []


def _error_notices(
    conversation: "Conversation", state: "ChatState", error: "KoelError", model: ProgramModel
) -> list[Notice]:
    """Return the error of the last run, and the actions that may help."""
    agent_code = getattr(error, "agent_code", None)
    notices = [Notice("error", f"✗ {error.message}")]
    if agent_code == "ChatTemplateError":
        template = template_for(conversation, model) or CHATML
        notices += [_template_notice(template), _RAW_COMPLETION]
    notices.append(_RETRY)
    if agent_code in _MODEL_ERRORS:
        has_own_model = conversation.meta.has_own_model
        notices.append(_CHANGE_THREAD_MODEL if has_own_model else _CHOOSE_MODEL)
    hints: tuple[tuple[str, str], ...]
    if incomplete_reason(state.messages):
        hints = ((_CONTINUE_KEY, "continues the answer."),)
    else:
        hints = (("prompt.previous", "restores your message"), ("prompt.send", "sends it."))
    return [*notices, Notice("hint", "  ", hints=hints)]


def _template_notice(name: str) -> Notice:
    return Notice(
        "action", f"  Answer with the chat template {name} · ",
        hints=(("thread.settings", "sets another template"),), template=name,
    )  # fmt: skip


def _regenerate_notice(reason: str) -> Notice:
    return Notice("hint", f"{reason} ", "run.regenerate", (("run.regenerate", "asks again."),))


def _unusable_settings_notice(names: Sequence[str]) -> Notice:
    return Notice(
        "error",
        f"✗ Saved settings of this thread cannot be used: {safe_line(', '.join(names))}. "
        "They have no effect. Saving the settings of the thread removes them. ",
        "thread.settings",
        (("thread.settings", "shows the settings."),),
    )


def _context_warning(text: str) -> Notice:
    hints = (("tab.summary", "opens a new thread with a summary."),)
    return Notice("hint", f"{text} ", "tab.summary", hints)


def _queued_notice(text: str) -> Notice:
    return Notice("queued", f"queued: {safe_line(text)} · ", "queue", (("queue", "edits"),))


def _was_cancelled_unanswered(state: "ChatState") -> bool:
    last = state.messages[-1:]
    return state.phase == "cancelled" and bool(last) and last[0].role == "user"


def _ended_without_text(conversation: "Conversation", state: "ChatState") -> bool:
    last = state.messages[-1:]
    wrote_nothing = conversation.has_answered and not conversation.metrics.last.output_tokens
    return wrote_nothing and not conversation.is_busy and bool(last) and last[0].role == "user"


def _has_output(state: "ChatState | None") -> bool:
    return state is not None and any(message.pieces for message in state.open_messages)
