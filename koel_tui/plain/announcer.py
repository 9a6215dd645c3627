"""Announcements of new output in a conversation, as lines of text."""

from collections.abc import Callable, Iterator

from koel_tui.chat_templates import RAW_COMPLETION, TEMPLATE_CHOICES
from koel_tui.conversation.activity import Phase
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.entries import Entry
from koel_tui.conversation.incomplete_answers import STOPPED, incomplete
from koel_tui.conversation.notices import ProgramModel, notices_for, template_for
from koel_tui.plain.speech_lines import SpeechLines
from koel_tui.text import safe_line, safe_text

LABELS = {"user": "You", "assistant": "Model", "tool": "Tool", "call": "Tool"}
_WORDS: dict[Phase, str] = {
    "loading": "The model is loading…",
    "queued": "Waiting for another answer to end…",
    "reading": "Model is reading the prompt…",
    "thinking": "Model is thinking…",
}


class Announcer:
    """The announcer of one conversation: returns its new text and state as lines, each once."""

    def __init__(self, conversation: Conversation, model: Callable[[], ProgramModel]) -> None:
        """`model` returns the state of the program's model."""
        self._conversation = conversation
        self._model = model
        self._said: dict[str, int] = {}
        self._begin_at = 0
        self._speaking = ""
        self._lines = SpeechLines()
        self._told: set[str] = set()
        self._ending: list[str] = []

    def skip(self) -> None:
        """Mark all current text as announced."""
        entries = self._conversation.entries()
        self._said.update((entry.id, len(entry.text)) for entry in entries)
        self._begin_at = max(0, len(entries) - 1)
        self._speaking, self._lines = "", SpeechLines()

    def asked(self) -> None:
        """Mark the user's message as announced, and allow state lines to be repeated."""
        self.skip()
        self._told.clear()

    def news(self) -> Iterator[str]:
        """Yield the new lines to print."""
        entries = self._conversation.entries()
        for entry in entries[self._begin_at :]:
            yield from self._of(entry)
        unfinished = (index for index, entry in enumerate(entries) if entry.writing)
        self._begin_at = min(next(unfinished, len(entries)), max(0, len(entries) - 1))
        yield from self._once(self._state())

    def _of(self, entry: Entry) -> Iterator[str]:
        if entry.role == "thinking":
            yield from self._once(["Model is thinking…"] if entry.writing else [])
            return
        said = self._said.get(entry.id, 0)
        text = entry.note if entry.role == "call" and not entry.writing else entry.text
        if len(text) > said:
            self._said[entry.id] = len(text)
            for line in self._lines.add(text[said:]):
                yield from self._spoken(entry, line)
        if not entry.writing:
            for line in self._lines.finish():
                yield from self._spoken(entry, line)
            if self._speaking == entry.id:
                self._speaking, self._lines = "", SpeechLines()

    def _spoken(self, entry: Entry, line: str) -> Iterator[str]:
        if self._speaking == entry.id:
            yield safe_text(line)
        elif line:  # skip empty lines at the start of an answer
            self._speaking = entry.id
            yield labelled(entry.role, line.lstrip())

    def _state(self) -> list[str]:
        conversation = self._conversation
        if conversation.busy:
            self._told.difference_update(self._ending)  # this run may end with the same lines
            words = _WORDS.get(conversation.activity.phase)
            return [words] if words else []
        lines = []
        model = self._model()
        notices = notices_for(conversation, model)
        for row in notices:
            if row.kind == "error":
                lines.append(f"Error: {row.text.removeprefix('✗ ').rstrip()}")
        if any(row.action.startswith("app.use_template") for row in notices):
            name = template_for(conversation, model)
            lines.append(
                f"/set chat_template NAME chooses one of {', '.join(TEMPLATE_CHOICES)}; "
                f"{RAW_COMPLETION} completes the text without a template."
                + (f" {name} fits the model." if name else "")
            )
        if conversation.failed:
            lines.append("/retry tries again. The up arrow brings your message back.")
        elif (why := incomplete(conversation.messages)) == STOPPED:
            lines.append("Stopped. /continue continues the answer.")
        elif why:
            lines.append(f"{why} /continue continues it.")
        if conversation.save_problem:
            lines.append(f"Error: not saved. {conversation.save_problem}")
        if left_out := conversation.measured.last.trimmed_turns:
            lines.append(f"Oldest turns that did not fit the model and were left out: {left_out}.")
        self._ending = lines
        return lines

    def _once(self, lines: list[str]) -> Iterator[str]:
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                yield safe_text(line)


def labelled(role: str, text: str) -> str:
    """Return sanitized text with the speaker's label in front."""
    return f"{LABELS[role]}: {safe_text(text)}"


def spoken(conversation: Conversation) -> list[Entry]:
    """Return the messages of the user and the model."""
    return [entry for entry in conversation.entries() if entry.role in ("user", "assistant")]


def described(conversation: Conversation) -> str:
    """Return the title and state of a thread in one line."""
    messages = len(spoken(conversation))
    count = "1 message" if messages == 1 else f"{messages} messages"
    state = [
        word
        for word, holds in (
            (count, not conversation.asleep),
            ("the model is answering", conversation.busy),
            ("the last answer failed", conversation.failed),
            ("not saved", bool(conversation.save_problem)),
        )
        if holds
    ]
    return ", ".join([safe_line(conversation.title), *state])
