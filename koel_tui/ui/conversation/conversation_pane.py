"""The pane of the active conversation: its transcript and the prompt with its draft."""

from dataclasses import replace

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from koel_tui.conversation.conversation import Conversation, MessageEdit
from koel_tui.conversation.drafts import join_texts
from koel_tui.conversation.entries import BranchPoint
from koel_tui.ui.composer.file_prompt import FilePrompt
from koel_tui.ui.conversation.transcript_column import Positions, TranscriptColumn
from koel_tui.ui.keys.hints import format_hints, key_of
from koel_tui.ui.transcript.scroll_position import ScrollTarget
from koel_tui.ui.transcript.transcript import Transcript
from koel_tui.ui.widgets.no_restyle import NoRestyle, NoRestyleContainer

_EDITING_HINTS = (("prompt.send", "sends"), ("run.stop", "cancels"))
_NEW_TEXT_BELOW = "[@click=app.scroll('end')]↓ new text below · $key[/]"


class ConversationPane(NoRestyle, Vertical):
    """Shows the active conversation, optionally a second one side by side, and their shared prompt.

    The draft and the scroll position of a conversation are saved when another one replaces it.
    """

    def __init__(
        self,
        front: TranscriptColumn,
        beside: TranscriptColumn,
        prompt: FilePrompt,
        positions: Positions,
    ) -> None:
        """`prompt` must pass its text to `send`."""
        super().__init__(id="pane")
        self._positions = positions
        self._front = front
        self._beside = beside
        self._beside.display = False
        self.prompt = prompt

    def compose(self) -> ComposeResult:
        """Yield the transcript columns, the file list above the prompt, and the prompt."""
        yield NoRestyleContainer(self._front, self._beside, id="readers")
        yield self.prompt.file_list
        yield self.prompt

    @property
    def _conversation(self) -> Conversation | None:
        return self._front.conversation

    @property
    def _transcript(self) -> Transcript | None:
        return self._front.transcript

    def on_resize(self, event: events.Resize) -> None:
        """Keep the prompt from filling a low terminal."""
        self.prompt.limit_height(event.size.height)

    async def show(self, conversation: Conversation, beside: Conversation | None = None) -> None:
        """Show `conversation` at its saved scroll position, and optionally `beside` next to it."""
        changed_columns = [
            column
            for column, wanted in ((self._front, conversation), (self._beside, beside))
            if wanted is not column.conversation
        ]
        if not changed_columns:
            return
        self.store_view_state()
        # Switch column and prompt before the first await, so that text typed meanwhile goes to the
        # new conversation.
        if self._front in changed_columns:
            self._front.attach(conversation)
            self.prompt.show(conversation.draft)
            self.prompt.border_title = None
            self._show_editing()
        if self._beside in changed_columns:
            self._beside.detach()
            if beside is not None:
                self._beside.attach(beside)
        with self.app.batch_update():
            self._beside.display = beside is not None
            for column in changed_columns:
                await column.show()

    def set_titles(self, front: str, beside: str) -> None:
        """Show headings above both transcripts; an empty string hides one."""
        self._front.set_title(front)
        self._beside.set_title(beside)

    def store_view_state(self) -> None:
        """Save the draft and the scroll positions in the conversations."""
        self.store_draft()
        self._front.store_view_state()
        self._beside.store_view_state()

    def store_draft(self) -> None:
        """Save the prompt's text as the conversation's draft."""
        if self._conversation is not None:
            self._conversation.draft = self.prompt.text

    def changed(self, conversation: Conversation) -> None:
        """Repaint the messages of this conversation if they are shown."""
        self._front.changed(conversation)
        self._beside.changed(conversation)

    def restore_text(self, conversation: Conversation, text: str) -> None:
        """Insert `text` before the draft of this conversation, in the prompt if it is active."""
        text = self.prompt.pastes.collapse(text)
        if (revision := conversation.message_edit) is not None:
            # The prompt contains a message being edited, so the text goes to the saved draft.
            conversation.message_edit = replace(revision, draft=join_texts(text, revision.draft))
        elif conversation is self._conversation and self.prompt.is_attached:
            self.prompt.replace_text(join_texts(text, self.prompt.text))
        else:
            conversation.draft = join_texts(text, conversation.draft)

    def send(self, text: str) -> None:
        """Send `text` to the visible conversations, or as replacement of the edited message."""
        conversation = self._conversation
        if conversation is None or self._transcript is None:
            return
        if conversation.message_edit is None:
            beside = self._beside.conversation
            if beside is None or beside.read_only_reason or not conversation.read_only_reason:
                conversation.ask(text)
            if (
                beside is not None
                and self._beside.transcript is not None
                and not beside.read_only_reason
            ):
                beside.ask(text)
                self._beside.transcript.go_to_end()
        elif conversation.edit(conversation.message_edit.message_id, text):
            self.cancel_edit()
        else:
            self.prompt.replace_whole_text(text)
        self._transcript.go_to_end()

    def scroll_messages(self, where: str) -> None:
        """Scroll to an end, by a line or by a page."""
        transcript = self._transcript
        if transcript is None:
            return
        page = max(1, transcript.size.height - 2)
        match where:
            case "home":
                transcript.go_to_start()
            case "end":
                transcript.go_to_end()
            case "up" | "down":
                transcript.scroll_lines(-1 if where == "up" else 1)
            case "page_up" | "page_down":
                transcript.scroll_lines(-page if where == "page_up" else page)

    def on_transcript_unseen(self, event: Transcript.Unseen) -> None:
        """Show in the prompt's border whether there is new text below.

        In the border it covers no text, and it appears and disappears without a layout pass.
        """
        if event.transcript is self._transcript:
            key = key_of(self.app, "scroll.end")
            self.prompt.border_title = (
                _NEW_TEXT_BELOW.replace("$key", key) if event.unseen else None
            )

    def step_message(self, direction: int) -> None:
        """Go to the user message above (-1) or below (1) the scroll position."""
        if self._transcript is not None:
            self._transcript.step_message(direction)

    def show_message(self, conversation: Conversation, entry_id: str) -> None:
        """Scroll to a message of this conversation, now or when the conversation becomes active."""
        if conversation is self._conversation and self._transcript is not None:
            self._transcript.go_to(entry_id)
        else:
            self._positions[conversation] = ScrollTarget(entry_id)

    def branch_point(self) -> BranchPoint | None:
        """Return the last branch point in view or above; None if there is none."""
        if self._conversation is None or self._transcript is None:
            return None
        if self._transcript.is_at_end and self._conversation.empty_branch is not None:
            return self._conversation.empty_branch
        read = reversed(self._transcript.visible_entries())
        return next((entry.branch_point for entry in read if entry.branch_point is not None), None)

    def visible_answer(self) -> str:
        """Return the id of the last answer in view or above; empty if there is none."""
        read = reversed(self._transcript.visible_entries() if self._transcript is not None else ())
        return next((entry.id for entry in read if entry.role == "assistant"), "")

    def edit_last_message(self) -> bool:
        """Put the user's last message into the prompt, or the one before the message being edited.

        Return False if there is none.
        """
        conversation = self._conversation
        if conversation is None:
            return False
        questions = [entry for entry in conversation.entries() if entry.role == "user"]
        before = conversation.message_edit
        ids = [entry.id for entry in questions]
        if before is not None and before.message_id in ids:
            questions = questions[: max(1, ids.index(before.message_id))]
        if not questions:
            return False
        draft = before.draft if before is not None else self.prompt.text
        self._add_edit_to_history()
        conversation.message_edit = MessageEdit(questions[-1].id, draft)
        self.prompt.replace_whole_text(questions[-1].text)
        self._show_editing()
        return True

    def cancel_edit(self) -> bool:
        """Stop editing a message and restore the saved draft; return False if none is edited."""
        conversation = self._conversation
        if conversation is None or conversation.message_edit is None:
            return False
        self._add_edit_to_history()
        self.prompt.replace_text(conversation.message_edit.draft)
        conversation.message_edit = None
        self._show_editing()
        return True

    def _add_edit_to_history(self) -> None:
        """Add an edited but unsent message to the prompt history."""
        conversation = self._conversation
        if conversation is None or (revision := conversation.message_edit) is None:
            return
        text = self.prompt.whole_text
        if all(
            entry.text != text
            for entry in conversation.entries()
            if entry.id == revision.message_id
        ):
            self.prompt.add_to_history(self.prompt.text)

    def toggle_rendering(self) -> bool:
        """Toggle the newest large answer's Markdown rendering; return False if there is none."""
        return self._transcript is not None and self._transcript.toggle_rendering()

    def _show_editing(self) -> None:
        is_editing = self._conversation is not None and self._conversation.message_edit is not None
        hints = f"editing your message · {format_hints(self.app, _EDITING_HINTS)}"
        self.prompt.border_subtitle = hints if is_editing else None
