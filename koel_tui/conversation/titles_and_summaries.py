"""Background jobs that generate the title or the summary of a thread."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from koel_tui.conversation.background_jobs import Job
from koel_tui.conversation.conversation import Conversation
from koel_tui.text import drop_controls, safe_input, safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import Message

_MAX_TITLE = 40
_MAX_EXCERPT = 600
"""Characters of a message that suffice to recognize the topic."""
_TITLE_PROMPT = "Give this conversation a title of two to six words. Answer with the title alone."
_SUMMARY_PROMPT = (
    "Summarise our conversation up to here in a few sentences, with everything that is "
    "needed to continue it. Answer with the summary alone."
)
_SUMMARY_HEADING = "What we talked about before, in short:"

OnSummary = Callable[[Conversation, str], None]
"""Callback for the opening text of another thread; empty if there is no summary."""


def title_job(conversation: Conversation) -> Job:
    """Return the job that generates a title, unless the thread has one by then."""

    async def work(backend: "Backend") -> None:
        from koel_tui.protocol import RAW_COMPLETION, Sampling, TurnSettings

        if conversation.meta.title or conversation.is_closed:
            return
        template = (conversation.turn_settings() or TurnSettings()).chat_template
        settings = TurnSettings(
            max_output_tokens=24,
            thinking=False,
            sampling=Sampling(temperature=0.2),
            # The title request needs a chat template even if the thread uses none.
            chat_template=None if template == RAW_COMPLETION else template,
        )
        agent = conversation.meta.select_agent(backend.agent)
        answer = await backend.client.ask(_title_request(conversation.messages), settings, agent)
        title = extract_title(answer)
        if title and not conversation.meta.title:
            await conversation.configure(title, conversation.meta.settings)

    return Job("finding a title…", work)


def summary_job(conversation: Conversation, on_summary: OnSummary) -> Job:
    """Return the job that summarises a thread and passes the result to `on_summary`."""

    async def work(backend: "Backend") -> None:
        from koel_tui.protocol import Message, TurnSettings

        short = TurnSettings(max_output_tokens=400, thinking=False)
        settings = short.over(conversation.turn_settings() or TurnSettings())
        agent = conversation.meta.select_agent(backend.agent)
        messages = [*conversation.messages, Message("ask", "user", _SUMMARY_PROMPT)]
        try:
            answer = await backend.client.ask(messages, settings, agent)
        except Exception:
            on_summary(conversation, "")
            raise
        summary = safe_input(answer).strip()
        on_summary(conversation, f"{_SUMMARY_HEADING}\n\n{summary}" if summary else "")

    return Job("summarising…", work)


def extract_title(answer: str) -> str:
    """Extract the title from the model's answer; empty if there is none."""
    lines = (line.strip(" \t#*_\"'`“”.:") for line in answer.splitlines())
    line = (
        safe_line(drop_controls(next(filter(None, lines), "")))
        .removeprefix("Title:")
        .strip(" \"'“”")
    )
    if len(line) <= _MAX_TITLE:
        return line
    return line[: _MAX_TITLE + 1].rpartition(" ")[0].rstrip(" ,;:") or line[:_MAX_TITLE]


def _title_request(messages: "Sequence[Message]") -> "list[Message]":
    from koel_tui.protocol import Message

    first = [each for each in messages if each.role in ("user", "assistant")][:2]
    names = {"user": "Person", "assistant": "Assistant"}
    excerpt = "\n\n".join(f"{names[each.role]}: {each.content[:_MAX_EXCERPT]}" for each in first)
    return [Message("ask", "user", f"{_TITLE_PROMPT}\n\n{excerpt}")]
