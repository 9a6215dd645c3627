"""Background jobs that generate the title or the summary of a thread."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from koel_tui.conversation.background_jobs import Job
from koel_tui.conversation.conversation import MAX_TITLE, Conversation
from koel_tui.formatting import cut_at_word
from koel_tui.limits import MAX_TAB_TITLE
from koel_tui.text import drop_controls, match_key, safe_input, safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import Message

_MAX_EXCERPT = 600
"""Characters of a message that suffice to recognize the topic."""
_STRIPPED = " \t#*_\"'`“”.:"
_SENTENCE_BREAK = re.compile(r"(?:\w{4}\.|[!?…。\uff01\uff1f])\s*\S")
_BRACKETS = ("()", "[]", "{}", "“”", "«»", "「」", "《》")
_LAST_WORDS = re.compile(
    r"\b(a|an|the|and|or|but|of|to|in|on|at|for|from|with|by|as|is|are|was|were|be|that|which|your|"
    r"der|die|das|den|dem|ein|eine|und|oder|mit|von|für|zu|im|ist|sind|le|la|les|un|une|des|du|de|"
    r"et|ou|à|en|pour|avec|est|el|los|las|con|para|es|il|di|che|или|на|для|по|это|не)$"
)
"""Words that cannot be the last one of a title, in the most frequent languages."""
_PREAMBLES = ("person:", "assistant:", "user:", "give this conversation")
_TITLE_PROMPT = (
    "Give this conversation a title of two to four words, in the language of the person. "
    "Answer with the title alone."
)
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
        title = choose_title(answer, conversation.messages)
        if title and not conversation.meta.title:
            await conversation.configure(title, conversation.meta.settings)

    return Job("finding a title…", work)


def summary_job(conversation: Conversation, on_summary: OnSummary) -> Job:
    """Return the job that summarises a thread and passes the result to `on_summary`."""

    async def work(backend: "Backend") -> None:
        from koel_tui.markdown_closing import close_block
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
        summary = close_block(summary) or summary  # the limit may cut it within a code block
        on_summary(conversation, f"{_SUMMARY_HEADING}\n\n{summary}" if summary else "")

    return Job("summarising…", work)


def choose_title(answer: str, messages: "Sequence[Message]") -> str:
    """Return the model's title if it qualifies, else the first words of the question."""
    question, reply = (
        next((each.content for each in messages if each.role == role), "")
        for role in ("user", "assistant")
    )
    title = extract_title(answer)
    if title and _is_qualified(title, question, reply):
        return title
    return cut_at_word(safe_line(question), MAX_TITLE)


def extract_title(answer: str) -> str:
    """Extract the title from the model's answer; empty if there is none or it is not finished.

    A line that ends in a colon introduces the title.
    """
    lines = filter(None, map(str.strip, answer.splitlines()))
    line = next((line for line in lines if not line.endswith((":", ":**"))), "")
    if line.rstrip(" *_\"'`").endswith(("...", "…")):
        return ""
    title = safe_line(drop_controls(line.strip(_STRIPPED)))
    if title.casefold().startswith("title:"):
        title = title[len("title:") :].strip(_STRIPPED)
    return "" if _is_unfinished(title) else title


def _is_qualified(title: str, question: str, reply: str) -> bool:
    """Return whether a model's title fits the tab and the script of the question.

    The beginning of the answer does not qualify.
    """
    return (
        cell_len(title) <= MAX_TAB_TITLE
        and not title.casefold().startswith(_PREAMBLES)
        and not _letters(reply).startswith(_letters(title))
        and _has_script_of(title, question)
    )


def _is_unfinished(title: str) -> bool:
    """Return whether a title is a part of a sentence, or begins a second one."""
    return (
        not title
        or title[-1] in ",;\u2013\u2014-…(/&+"
        or _LAST_WORDS.search(title) is not None
        or _SENTENCE_BREAK.search(title) is not None
        or any(title.count(pair[0]) != title.count(pair[1]) for pair in _BRACKETS)
        or title.count('"') % 2 == 1
    )


def _letters(text: str) -> str:
    """Return the letters and digits of a text, for a comparison without marks and case."""
    return "".join(filter(str.isalnum, match_key(text[:_MAX_EXCERPT])))


def _has_script_of(title: str, question: str) -> bool:
    """Return whether the words of a title that are not in the question have its script."""
    asked = match_key(question)
    words = [word for word in match_key(title).split() if word not in asked]
    wanted, used = _main_script(question[:_MAX_EXCERPT]), _main_script(" ".join(words))
    return not wanted or not used or wanted == used


def _main_script(text: str) -> str:
    """Return the script of most letters: LATIN, CYRILLIC, CJK; empty without letters."""
    names = (unicodedata.name(char, "").split(" ")[0] for char in text if char.isalpha())
    scripts = Counter("CJK" if name in ("HIRAGANA", "KATAKANA") else name for name in names)
    return scripts.most_common(1)[0][0] if scripts else ""


def _title_request(messages: "Sequence[Message]") -> "list[Message]":
    from koel_tui.protocol import Message

    first = [each for each in messages if each.role in ("user", "assistant")][:2]
    names = {"user": "Person", "assistant": "Assistant"}
    excerpt = "\n\n".join(f"{names[each.role]}: {each.content[:_MAX_EXCERPT]}" for each in first)
    return [Message("ask", "user", f"{_TITLE_PROMPT}\n\n{excerpt}")]
