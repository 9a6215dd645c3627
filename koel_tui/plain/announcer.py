"""Announcements of new output in a conversation, as lines of text."""

from collections.abc import Callable, Iterator

from koel_tui.chat_templates import RAW_COMPLETION, TEMPLATE_CHOICES
from koel_tui.conversation.activity import Phase
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.entries import Entry
from koel_tui.conversation.incomplete_answers import incomplete_reason
from koel_tui.conversation.notices import (
    ProgramModel,
    left_out_message,
    notices_for,
    template_for,
)
from koel_tui.plain.speech_lines import SpeechLines
from koel_tui.text import safe_line, safe_text

LABELS = {"user": "You", "assistant": "Model", "tool": "Tool", "call": "Tool"}
_PHASE_LINES: dict[Phase, str] = {
    "loading": "The model is loading…",
    "queued": "Waiting for another answer to end…",
    "reading": "Model is reading the prompt…",
    "thinking": "Model is thinking…",
}


class Announcer:
    """The announcer of one conversation: returns its new text and state as lines, each once."""

    def __init__(
        self, conversation: Conversation, program_model: Callable[[], ProgramModel]
    ) -> None:
        """`program_model` returns the state of the program's model."""
        self._conversation = conversation
        self._program_model = program_model
        self._announced_lengths: dict[str, int] = {}
        self._first_index = 0
        self._current_id = ""
        self._lines = SpeechLines()
        self._announced: set[str] = set()
        self._end_lines: list[str] = []

    def skip(self) -> None:
        """Mark all current text as announced."""
        entries = self._conversation.entries()
        self._announced_lengths.update((entry.id, len(entry.text)) for entry in entries)
        self._first_index = max(0, len(entries) - 1)
        self._current_id, self._lines = "", SpeechLines()

    def skip_user_message(self) -> None:
        """Mark the user's message as announced, and allow state lines to be repeated."""
        self.skip()
        self._announced.clear()

    def new_lines(self) -> Iterator[str]:
        """Yield the new lines to print."""
        entries = self._conversation.entries()
        for entry in entries[self._first_index :]:
            yield from self._entry_lines(entry)
        unfinished = (index for index, entry in enumerate(entries) if entry.is_writing)
        self._first_index = min(next(unfinished, len(entries)), max(0, len(entries) - 1))
        yield from self._unrepeated(self._state_lines())

    def _entry_lines(self, entry: Entry) -> Iterator[str]:
        if entry.role == "thinking":
            yield from self._unrepeated(["Model is thinking…"] if entry.is_writing else [])
            return
        announced = self._announced_lengths.get(entry.id, 0)
        text = entry.note if entry.role == "call" and not entry.is_writing else entry.text
        if len(text) > announced:
            self._announced_lengths[entry.id] = len(text)
            for line in self._lines.add(text[announced:]):
                yield from self._format_line(entry, line)
        if not entry.is_writing:
            for line in self._lines.finish():
                yield from self._format_line(entry, line)
            if self._current_id == entry.id:
                self._current_id, self._lines = "", SpeechLines()

    def _format_line(self, entry: Entry, line: str) -> Iterator[str]:
        if self._current_id == entry.id:
            yield safe_text(line)
        elif line:  # skip empty lines at the start of an answer
            self._current_id = entry.id
            yield format_message(entry.role, line.lstrip())

    def _state_lines(self) -> list[str]:
        conversation = self._conversation
        if conversation.is_busy:
            self._announced.difference_update(
                self._end_lines
            )  # this run may end with the same lines
            phase_line = _PHASE_LINES.get(conversation.activity.phase)
            return [phase_line] if phase_line else []
        lines = []
        program_model = self._program_model()
        notices = notices_for(conversation, program_model)
        for row in notices:
            if row.kind == "error":
                lines.append(f"Error: {row.text.removeprefix('✗ ').rstrip()}")
        if any(row.template for row in notices):
            name = template_for(conversation, program_model)
            lines.append(
                f"/set chat_template NAME chooses one of {', '.join(TEMPLATE_CHOICES)}; "
                f"{RAW_COMPLETION} completes the text without a template."
                + (f" {name} fits the model." if name else "")
            )
        if conversation.has_failed:
            line = "/retry tries again. The up arrow restores your message."
            if incomplete_reason(conversation.messages):
                line += " /continue continues the answer."
            lines.append(line)
        elif reason := incomplete_reason(conversation.messages):
            lines.append(f"{reason} /continue continues it.")
        if conversation.save_problem:
            lines.append(f"Error: not saved. {conversation.save_problem}")
        if trimmed := conversation.metrics.last.trimmed_turns:
            lines.append(left_out_message(trimmed))
        self._end_lines = lines
        return lines

    def _unrepeated(self, lines: list[str]) -> Iterator[str]:
        for line in lines:
            if line not in self._announced:
                self._announced.add(line)
                yield safe_text(line)


def format_message(role: str, text: str) -> str:
    """Return sanitized text with the speaker's label in front."""
    return f"{LABELS[role]}: {safe_text(text)}"


def chat_entries(conversation: Conversation) -> list[Entry]:
    """Return the messages of the user and the model."""
    return [entry for entry in conversation.entries() if entry.role in ("user", "assistant")]


def describe(conversation: Conversation) -> str:
    """Return the title and state of a thread in one line."""
    messages = len(chat_entries(conversation))
    count = "1 message" if messages == 1 else f"{messages} messages"
    state = [
        word
        for word, holds in (
            (count, not conversation.is_unloaded),
            ("the model is answering", conversation.is_busy),
            ("the last answer failed", conversation.has_failed),
            ("not saved", bool(conversation.save_problem)),
        )
        if holds
    ]
    return ", ".join([safe_line(conversation.title), *state])
