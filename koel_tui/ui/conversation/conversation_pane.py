"""The pane of the active conversation: transcript, prompt, and the actions on it."""

from collections.abc import Callable
from dataclasses import replace
from weakref import WeakKeyDictionary

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Markdown

from koel_tui.conversation.branches import BranchPoint
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import Draft, join_texts
from koel_tui.ui.composer.file_prompt import FilePrompt
from koel_tui.ui.conversation.copying import Copier
from koel_tui.ui.conversation.link_panels import LinkOpener
from koel_tui.ui.conversation.links import original_url
from koel_tui.ui.conversation.message_editing import MessageEditor
from koel_tui.ui.conversation.transcript_column import Positions, TranscriptColumn
from koel_tui.ui.keys.hints import format_hints, key_of
from koel_tui.ui.keys.key_table import bindings
from koel_tui.ui.transcript.scroll_position import ScrollTarget
from koel_tui.ui.transcript.transcript import FLUSH_INTERVAL, Transcript
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.no_restyle import NoRestyle, NoRestyleContainer
from koel_tui.workspace.runtime import STILL_STARTING, Runtime

_NEW_TEXT_BELOW = "[@click=screen.scroll_to_end]↓ new text below · $key[/]"


class ConversationPane(NoRestyle, Vertical):
    """Shows the active conversation, optionally a second one side by side, and their shared prompt.

    The draft and the scroll position of a conversation are saved when another one replaces it.
    """

    BINDINGS = bindings("pane")

    def __init__(
        self,
        runtime: Runtime,
        copier: Copier,
        link_opener: LinkOpener,
        append_history: Callable[[Draft], None],
        interval: float,
    ) -> None:
        """Repaint the transcripts at most once every `interval` seconds or more rarely.

        `append_history` is called with each sent draft.
        """
        super().__init__(id="pane")
        self._runtime = runtime
        self._copier = copier
        self._link_opener = link_opener
        self._positions: Positions = WeakKeyDictionary()
        self._front, self._paired = (
            TranscriptColumn(
                max(interval, FLUSH_INTERVAL),
                self._positions,
                lambda: runtime.program_model,
                id=name,
            )
            for name in ("messages", "paired")
        )
        self._paired.display = False
        self.prompt = FilePrompt(self.send, append_history, runtime)
        self._message_editor = MessageEditor(self.prompt)

    def compose(self) -> ComposeResult:
        """Yield the transcript columns, the file list above the prompt, and the prompt."""
        yield NoRestyleContainer(self._front, self._paired, id="readers")
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

    async def show(self, conversation: Conversation, paired: Conversation | None = None) -> None:
        """Show `conversation` at its saved scroll position, and optionally `paired` next to it."""
        changed_columns = [
            column
            for column, wanted in ((self._front, conversation), (self._paired, paired))
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
            self._message_editor.show_state(conversation)
        if self._paired in changed_columns:
            self._paired.detach()
            if paired is not None:
                self._paired.attach(paired)
        with self.app.batch_update():
            self._paired.display = paired is not None
            for column in changed_columns:
                await column.show()

    def set_titles(self, front: str, paired: str) -> None:
        """Show headings above both transcripts; an empty string hides one."""
        self._front.set_title(front)
        self._paired.set_title(paired)

    def store_view_state(self) -> None:
        """Save the draft and the scroll positions in the conversations."""
        self.store_draft()
        self._front.store_view_state()
        self._paired.store_view_state()

    def store_draft(self) -> None:
        """Save the prompt's text as the conversation's draft."""
        if self._conversation is not None:
            self._conversation.draft = self.prompt.text

    def changed(self, conversation: Conversation) -> None:
        """Repaint the messages of this conversation if they are shown."""
        self._front.changed(conversation)
        self._paired.changed(conversation)

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
            paired = self._paired.conversation
            if paired is None or paired.read_only_reason or not conversation.read_only_reason:
                conversation.ask(text)
            if (
                paired is not None
                and self._paired.transcript is not None
                and not paired.read_only_reason
            ):
                paired.ask(text)
                self._paired.transcript.go_to_end()
        elif conversation.edit(conversation.message_edit.message_id, text):
            self._message_editor.cancel(conversation)
        else:
            self.prompt.replace_whole_text(text)
        self._transcript.go_to_end()

    # Actions

    def action_scroll(self, where: str) -> None:
        """Scroll to an end, by a line or by a page; the prompt keeps the focus."""
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

    def action_step_message(self, direction: int) -> None:
        """Go to the user message above (-1) or below (1) the scroll position."""
        if self._transcript is not None:
            self._transcript.step_message(direction)

    def action_stop(self) -> None:
        """Stop editing a message; if none is edited, stop the answers of the visible tabs."""
        conversation, paired = self._conversation, self._paired.conversation
        if conversation is None or self._message_editor.cancel(conversation):
            return
        conversation.stop()
        if paired is not None:
            paired.stop()

    def action_regenerate(self) -> None:
        """Regenerate the last answer."""
        if (conversation := self._idle_conversation()) is not None:
            conversation.regenerate()

    def action_continue_answer(self) -> None:
        """Continue the incomplete answer."""
        if (conversation := self._idle_conversation()) is not None:
            conversation.continue_answer()

    def action_retry(self) -> None:
        """Retry the failed turn."""
        if (conversation := self._idle_conversation()) is not None:
            conversation.retry()

    def action_edit_message(self) -> None:
        """Edit the user's last message; when repeated, the one before it."""
        conversation = self._conversation
        if conversation is None or not self._message_editor.edit_last_message(conversation):
            self.notify("You have no message here to edit.")

    def action_switch_branch(self, step: int) -> None:
        """Switch the thread to another branch at the scroll position."""
        if (conversation := self._idle_conversation()) is None:
            return
        branching = self._branch_point(conversation)
        if branching is None:
            hints = (("run.regenerate", "answers again"), ("message.edit", "edits a message."))
            self.notify(f"There are no branches here. {format_hints(self.app, hints)}".rstrip())
        elif first := conversation.switch(branching, step):
            self.show_message(conversation, first)

    def action_queue(self) -> None:
        """Choose a queued text to edit in the prompt or to delete."""
        from koel_tui.ui.conversation.queue_picker import QueuePicker

        conversation = self._conversation

        def edit(choice: SimpleChoice[str] | None) -> None:
            if choice is None or conversation is None:
                return
            if conversation.unqueue(choice.value):
                self.restore_text(conversation, choice.value)
            else:
                self.notify("The message was already sent.")

        if conversation is not None and conversation.queue:
            self.app.push_screen(QueuePicker(conversation), edit)
        else:
            self.notify("No messages are queued.")

    def action_fold(self) -> None:
        """Toggle the folding of thinking and tool calls."""
        if self._conversation is not None:
            self._conversation.toggle_folded()

    def action_toggle_rendering(self) -> None:
        """Toggle between plain text and Markdown for the newest answer too large for Markdown."""
        if self._transcript is None or not self._transcript.toggle_rendering():
            self.notify("No answer here is shown as plain text.")

    async def action_copy_answer(self) -> None:
        """Copy the newest answer."""
        await self._copier.copy_answer(self._last_answer)

    async def action_copy_code(self) -> None:
        """Copy the last code block of the newest answer; when repeated, the one before it."""
        await self._copier.copy_next_code(self._last_answer)

    def action_links(self) -> None:
        """Choose a link from the newest answer."""
        self._link_opener.choose(self._last_answer)

    def action_save_code(self) -> None:
        """Save a code block of the newest answer to a file, under a name that the user confirms."""
        from koel_tui.ui.conversation.code_picker import save_code

        if self._conversation is not None:
            save_code(self.app, self._last_answer, self._conversation.title)

    def action_stats(self) -> None:
        """Show the statistics of the thread and the memory use of the model."""
        from koel_tui.ui.conversation.stats_panel import StatsPanel

        if self._conversation is not None:
            self.app.push_screen(StatsPanel(self._conversation, self._runtime))

    def action_thread_settings(self) -> None:
        """Edit the thread's title, system prompt and answer settings."""
        from koel_tui.ui.settings.thread_settings_panel import edit_thread_settings

        backend, conversation = self._runtime.backend, self._conversation
        if backend is None or conversation is None or conversation.is_unloaded:
            self.notify(STILL_STARTING)
        else:
            edit_thread_settings(self.app, conversation, backend.defaults)

    # Textual event handlers

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Ask whether to open a link; a link from a model is never opened without asking."""
        self._link_opener.confirm(original_url(event.markdown.source, event.href))

    def on_transcript_unseen(self, event: Transcript.Unseen) -> None:
        """Show in the prompt's border whether there is new text below.

        In the border it covers no text, and it appears and disappears without a layout pass.
        """
        if event.transcript is self._transcript:
            key = key_of(self.app, "scroll.end")
            self.prompt.border_title = (
                _NEW_TEXT_BELOW.replace("$key", key) if event.unseen else None
            )

    def show_message(self, conversation: Conversation, entry_id: str) -> None:
        """Scroll to a message of this conversation, now or when the conversation becomes active."""
        if conversation is self._conversation and self._transcript is not None:
            self._transcript.go_to(entry_id)
        else:
            self._positions[conversation] = ScrollTarget(entry_id)

    async def retry_with_template(self, name: str) -> None:
        """Retry the failed turn with another chat template, which is saved in the thread."""
        from koel_tui.ui.settings.thread_settings_panel import set_template

        if self._conversation is not None:
            await set_template(self._conversation, name)
            self._conversation.retry()

    def _branch_point(self, conversation: Conversation) -> BranchPoint | None:
        """Return the last branch point in view or above; None if there is none."""
        if self._transcript is None:
            return None
        if self._transcript.is_at_end and conversation.empty_branch is not None:
            return conversation.empty_branch
        read = reversed(self._transcript.visible_entries())
        return next((entry.branch_point for entry in read if entry.branch_point is not None), None)

    def visible_answer(self) -> str:
        """Return the id of the last answer in view or above; empty if there is none."""
        read = reversed(self._transcript.visible_entries() if self._transcript is not None else ())
        return next((entry.id for entry in read if entry.role == "assistant"), "")

    @property
    def _last_answer(self) -> str:
        return self._conversation.last_answer if self._conversation is not None else ""

    def _idle_conversation(self) -> Conversation | None:
        """Return the conversation unless it is generating an answer; if it is, notify the user."""
        if self._conversation is not None and self._conversation.is_busy:
            key = key_of(self.app, "run.stop")
            self.notify(f"An answer is being written. {key} stops it.")
            return None
        return self._conversation
