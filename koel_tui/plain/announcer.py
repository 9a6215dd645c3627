"""The new text and state of a conversation as lines, which the plain mode prints."""

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
from koel_tui.plain.sentence_splitter import SentenceSplitter
from koel_tui.text import safe_line, safe_text

LABELS = {"user": "You", "assistant": "Model", "tool": "Tool", "call": "Tool"}
_PHASE_LINES: dict[Phase, str] = {
    "loading": "The model is loading…",
    "queued": "Waiting for another answer to end…",
    "reading": "Model is reading the prompt…",
    "thinking": "Model is thinking…",
}


class Announcer:
    """The announcer of one conversation: yields what is new in it, each line once."""

    def __init__(
        self, conversation: Conversation, program_model: Callable[[], ProgramModel]
    ) -> None:
        """`program_model` returns the state of the program's model."""
        self._conversation = conversation
        self._program_model = program_model
        self._announced_lengths: dict[str, int] = {}
        """The length of the text that has been announced, by the id of the entry."""
        self._first_growing = 0
        """The index of the first entry that may still grow."""
        self._labelled_id = ""
        """The id of the entry whose first line, the one with the label, has been announced."""
        self._splitter = SentenceSplitter()
        self._announced_states: set[str] = set()
        self._end_lines: list[str] = []
        """The state lines after the last run."""

    def skip(self) -> None:
        """Mark all text so far as announced."""
        entries = self._conversation.entries()
        self._announced_lengths.update((entry.id, len(_shown_text(entry))) for entry in entries)
        self._first_growing = max(0, len(entries) - 1)
        self._expect_new_message()

    def skip_user_message(self) -> None:
        """Mark the user's message as announced, and let the next run repeat any state line."""
        self.skip()
        self._announced_states.clear()

    def new_lines(self) -> Iterator[str]:
        """Yield the new lines to print."""
        entries = self._conversation.entries()
        for entry in entries[self._first_growing :]:
            yield from self._entry_lines(entry)
        writing = (index for index, entry in enumerate(entries) if entry.is_writing)
        # A continued answer adds text to the last entry, although that was finished.
        self._first_growing = next(writing, max(0, len(entries) - 1))
        yield from self._unrepeated(self._state_lines())

    def _expect_new_message(self) -> None:
        self._labelled_id, self._splitter = "", SentenceSplitter()

    def _entry_lines(self, entry: Entry) -> Iterator[str]:
        if entry.role == "thinking":
            if entry.is_writing:
                yield from self._unrepeated([_PHASE_LINES["thinking"]])
            return
        text = _shown_text(entry)
        announced = self._announced_lengths.get(entry.id, 0)
        if len(text) > announced:
            self._announced_lengths[entry.id] = len(text)
            for line in self._splitter.add(text[announced:]):
                yield from self._format_line(entry, line)
        if not entry.is_writing:
            for line in self._splitter.finish():
                yield from self._format_line(entry, line)
            if self._labelled_id == entry.id:
                self._expect_new_message()

    def _format_line(self, entry: Entry, line: str) -> Iterator[str]:
        if self._labelled_id == entry.id:
            yield safe_text(line)
        elif line:  # skip empty lines at the start of a message
            self._labelled_id = entry.id
            yield format_message(entry.role, line.lstrip())

    def _state_lines(self) -> list[str]:
        conversation = self._conversation
        if conversation.is_busy:
            # This run may end with the same lines as the last one.
            self._announced_states.difference_update(self._end_lines)
            phase_line = _PHASE_LINES.get(conversation.activity.phase)
            return [phase_line] if phase_line else []
        lines: list[str] = []
        program_model = self._program_model()
        notices = notices_for(conversation, program_model)
        for notice in notices:
            if notice.kind == "error":
                lines.append(f"Error: {notice.text.removeprefix('✗ ').rstrip()}")
        if any(notice.template for notice in notices):
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
            if line not in self._announced_states:
                self._announced_states.add(line)
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
    parts = [safe_line(conversation.title)]
    if not conversation.is_unloaded:
        parts.append(count)
    if conversation.is_busy:
        parts.append("the model is answering")
    if conversation.has_failed:
        parts.append("the last answer failed")
    if conversation.save_problem:
        parts.append("not saved")
    return ", ".join(parts)


def _shown_text(entry: Entry) -> str:
    """Return the text that is announced: for a finished call, one line with its result."""
    return entry.note if entry.role == "call" and not entry.is_writing else entry.text
