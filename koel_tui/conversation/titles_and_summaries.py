"""Background jobs that generate the title or the summary of a thread."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from rich.cells import cell_len

from koel_tui.conversation.background_jobs import Job
from koel_tui.conversation.conversation import MAX_TITLE, Conversation
from koel_tui.first_words import first_words
from koel_tui.formatting import cut_at_word
from koel_tui.limits import MAX_TAB_TITLE
from koel_tui.text import drop_controls, match_key, normalize, safe_input, safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import Message

_MAX_EXCERPT = 600
"""Characters of a message that suffice to recognize the topic."""
_MAX_SEARCHED = 8000
"""Characters of a question in which the words of a title are searched."""
_STRIPPED = " \t*_`.:\u3002\uff0e"
_MARKED = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|`{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)")
"""Words between marks of Markdown."""
_QUOTES = (
    *('""', "''", "“”", "””", "„“", "„”", "«»", "»«"),
    *("\u201a\u2018", "\u2018\u2019", "「」", "『』", "《》"),
)
_APOSTROPHE = re.compile(r"(?<=\w)'(?=\w)")
_LIST_MARK = re.compile(r"(?:[-*+•]|\d{1,2}[.)])\s+(?=[^\W\d_]|[*_\"“])")
_LABEL = re.compile(
    r"(?:the |conversation )?"
    r"(?:title|titel|titre|título|titolo|название|заголовок|标题|標題|タイトル|제목)"
    r"[*_ ]*[:\uff1a]",
    re.IGNORECASE,
)
_SENTENCE_BREAK = re.compile(r"(?:\w{4}\.\s|[!?…。\uff01\uff1f])\s*\S")
_OPEN_ENDS = ",;\u2013\u2014-…(/&=|\uff0c\u3001\uff1b\uff1a・"
_BRACKETS = ("()", "[]", "{}", "“”", "«»", "「」", "『』", "《》", "\uff08\uff09")
_FUNCTION_WORDS = """
a an the and or but of to in on at for from with by as is are was were be that which your my our
their its into about than because can will should must
der die das den dem des ein eine einen einem einer eines und oder mit von für zu zum zur im am auf
aus bei nach wie dass nicht sich über ist sind
le la les un une du de et ou à en pour avec est que qui au aux dans sur ce cette
el los las con para es del al por sin sobre como su sus il di che per della dei gli nel nella
da dos em uma het een van voor met
или на для по от до из за под при это не что как если чтобы та що як від za od je + -
"""
_LAST_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that cannot be the last one of a title, in the most frequent languages."""
_LAST_PARTICLES = re.compile(
    r"[\u3040-\u30ff\u4e00-\u9fff](?:[をへがはのに]|[和与與])\Z|[가-힣]를\Z"
)
"""The same for languages whose words are not separated."""
_WORD = re.compile(r"\w+")
_KANA = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_CJK = "CJK"
_CJK_NAMES = ("HIRAGANA", "KATAKANA", "IDEOGRAPHIC")
_WEIGHTS = {"LATIN": 1, _CJK: 4, "HANGUL": 4}
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
        from koel_tui.protocol import LENGTH, RAW_COMPLETION, Sampling, TurnSettings

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
        request = _title_request(conversation.messages)
        answer = await backend.client.answer(request, settings, agent)
        text = answer.content
        if answer.finish_reason == LENGTH:
            text = text.rpartition("\n")[0]  # the last line is not complete
        title = choose_title(text, conversation.messages)
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
    return cut_at_word(safe_line(first_words(question)), MAX_TITLE)


def extract_title(answer: str) -> str:
    """Extract the title from the model's answer; empty if there is none or it is not finished.

    A line that ends in a colon introduces the title. Code is not a title.
    """
    lines = filter(None, map(str.strip, answer.splitlines()))
    line = next((line for line in lines if not line.endswith((":", ":**", "\uff1a"))), "")
    if line.startswith(("```", "~~~", "<", "{")):
        return ""
    if line.rstrip(" *_\"'`”").endswith(("...", "…")):
        return ""
    title = _strip_marks(_LIST_MARK.sub("", line, count=1))
    if label := _LABEL.match(title):
        title = _strip_marks(title[label.end() :])
    return "" if _is_unfinished(title) else title


def _strip_marks(line: str) -> str:
    """Return a line without the marks of Markdown and the quotes around it."""
    title = _MARKED.sub(r"\2", line.lstrip("# \t")[:_MAX_EXCERPT]).strip(_STRIPPED)
    if _is_quoted(title):
        title = title[1:-1]
    elif sum(map(title.count, '"“”')) == 1:
        title = title.strip('"“”')  # its partner is missing
    return safe_line(drop_controls(title.strip(_STRIPPED)))


def _is_quoted(title: str) -> bool:
    """Return whether a title is between two quotation marks that belong together."""
    if title[:1] + title[-1:] not in _QUOTES:
        return False
    is_same = title[0] == title[-1]
    return _APOSTROPHE.sub("", title).count(title[0]) == (2 if is_same else 1)


def _is_qualified(title: str, question: str, reply: str) -> bool:
    """Return whether a model's title fits the tab and the script of the question.

    The beginning of the answer does not qualify, and neither do symbols or digits alone.
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
        or title[-1] in _OPEN_ENDS
        or "\ufffd" in title
        or _is_last_word_open(title.split()[-1])
        or _LAST_PARTICLES.search(title) is not None
        or _SENTENCE_BREAK.search(title) is not None
        or any(title.count(pair[0]) != title.count(pair[1]) for pair in _BRACKETS)
        or title.count('"') % 2 == 1
    )


def _is_last_word_open(word: str) -> bool:
    if len(word) == 1 and "\u0430" <= word <= "\u0457":
        return True  # words of one Cyrillic letter are prepositions and conjunctions
    is_name = len(word) == 1 or word.isupper()  # Plan A, the UN
    return (word if is_name else word.casefold()) in _LAST_WORDS


def _letters(text: str) -> str:
    """Return the letters and digits of a text, for a comparison without marks and case."""
    return "".join(filter(str.isalnum, match_key(text[:_MAX_EXCERPT])))


def _has_script_of(title: str, question: str) -> bool:
    """Return whether the words of a title that are not in the question have its script.

    A title with kana is not in the language of a question with Chinese characters alone.
    """
    beginning = first_words(question)  # without attached files
    asked = match_key(f"{question[:_MAX_SEARCHED]}\n{beginning[:_MAX_SEARCHED]}")
    asked_words = normalize(beginning[:_MAX_EXCERPT])
    words = [word for word in _WORD.findall(match_key(title)) if word not in asked]
    wanted, used = _main_script(asked_words), _main_script(" ".join(words))
    if wanted and not any(map(str.isalpha, title)):
        return False
    if wanted == used == _CJK and _KANA.search(title) and not _KANA.search(asked_words):
        return False
    return not wanted or not used or wanted == used


def _main_script(text: str) -> str:
    """Return the script of most words: LATIN, CYRILLIC, CJK; empty without letters.

    Names and code are Latin in texts of all languages, so a letter of another script counts more;
    a Chinese or Korean one is almost a word.
    """
    scripts: Counter[str] = Counter()
    for char in filter(str.isalpha, text):
        script = re.split("[ -]", unicodedata.name(char, ""), maxsplit=1)[0]
        script = _CJK if script in _CJK_NAMES else script
        scripts[script] += _WEIGHTS.get(script, 2)
    return scripts.most_common(1)[0][0] if scripts else ""


def _title_request(messages: "Sequence[Message]") -> "list[Message]":
    from koel_tui.protocol import Message

    first = islice((each for each in messages if each.role in ("user", "assistant")), 2)
    names = {"user": "Person", "assistant": "Assistant"}
    excerpt = "\n\n".join(f"{names[each.role]}: {each.content[:_MAX_EXCERPT]}" for each in first)
    return [Message("ask", "user", f"{_TITLE_PROMPT}\n\n{excerpt}")]
