"""Actions on the active conversation: ask, branch, summarise, copy, save."""

from textual.widgets import Markdown

from koel_tui.conversation.conversation import Conversation
from koel_tui.text import safe_line
from koel_tui.ui.app.tabbed import TabbedApp
from koel_tui.ui.conversation.links import original_url
from koel_tui.ui.keys.hints import format_hints, key_of
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.workspace.runtime import STILL_STARTING


class ConversingApp(TabbedApp):
    """An app of tabs with the actions of a single conversation."""

    def on_run_ended(self, conversation: Conversation) -> None:
        """Offer to free a model context when the active thread could not get one."""
        super().on_run_ended(conversation)
        if conversation.hit_session_limit and conversation is self._workspace.active:
            self._offer_parking(conversation)

    def _offer_parking(self, conversation: Conversation) -> None:
        from koel_tui.ui.widgets.confirm_panel import ConfirmPanel

        other, backend = self._workspace.least_recently_used(), self._runtime.backend
        if other is None or backend is None:
            return

        async def park(agreed: bool | None) -> None:
            if agreed:
                await backend.agent.release(other.thread_id or "")
                conversation.retry()

        text = (
            "All model contexts are in use. The least recently used thread is"
            f"\n\n  {safe_line(other.title)}\n\nParking frees its context. The tab stays open; its"
            " next answer may start more slowly."
        )
        self.push_screen(ConfirmPanel("Park a thread?", text, "parks it and asks again"), park)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Ask whether to open a link; a link from a model is never opened without asking."""
        self._link_opener.confirm(original_url(event.markdown.source, event.href))

    def action_thread_settings(self) -> None:
        """Edit the active thread's title, system prompt and answer settings."""
        from koel_tui.ui.settings.thread_settings import edit_thread_settings

        backend, conversation = self._runtime.backend, self._workspace.active
        if backend is None or conversation.is_unloaded:
            self._notify_starting()
        else:
            edit_thread_settings(self, conversation, backend.defaults)

    def action_summarise(self) -> None:
        """Open a tab with a new thread whose prompt contains a summary of this one."""
        from koel_tui.conversation.titles_and_summaries import summary_job

        conversation = self._workspace.active
        if conversation.is_new:
            self._notify("This thread has no messages to summarise yet.")
            return
        self._background_jobs.add(summary_job(conversation, self._receive_summary))
        self._notify("A summary is being written. It opens in a new tab.")

    def _receive_summary(self, conversation: Conversation, summary: str) -> None:
        # Run on the app's own queue, because the summary job may be cancelled at any time.
        self.call_later(self._open_summary, conversation, summary)

    async def _open_summary(self, conversation: Conversation, summary: str) -> None:
        if not summary:
            self._notify(f"The model returned no summary of “{conversation.title}”. Try again.")
            return
        self._pane.store_view_state()
        before = self._workspace.active
        new = self._workspace.add_new(conversation.meta.copy(""))
        if before is not conversation or before.draft:
            self._workspace.tabs.activate(before)  # the user is typing in that tab
            self._workspace.tabs.mark_unread(new)
        await self._show_active()
        self._pane.restore_text(new, summary)

    async def action_branch_off(self) -> None:
        """Open a tab with a copy of this thread up to the visible answer."""
        if not (answer := self._pane.visible_answer()):
            self._notify("There is no answer yet to start a new thread from.")
            return
        self._pane.store_view_state()
        await self._open(self._workspace.branch(answer))

    def action_stop(self) -> None:
        """Stop editing a message; if none is edited, stop the answers of the visible tabs."""
        if not self._pane.cancel_edit():
            for conversation in (self._workspace.active, self._workspace.tabs.paired):
                if conversation is not None:
                    conversation.stop()

    def action_regenerate(self) -> None:
        """Regenerate the last answer of the active tab."""
        if not self._refuse_while_busy():
            self._workspace.active.regenerate()

    def action_edit_message(self) -> None:
        """Edit the user's last message in the active tab; when repeated, the one before it."""
        if not self._pane.edit_last_message():
            self._notify("You have no message here to edit.")

    def action_switch_branch(self, step: int) -> None:
        """Switch the thread to another branch at the scroll position."""
        if self._refuse_while_busy():
            return
        branching = self._pane.branch_point()
        if branching is None:
            hints = (("run.regenerate", "answers again"), ("message.edit", "edits a message."))
            self._notify(f"There are no branches here. {format_hints(self, hints)}".rstrip())
            return
        first = self._workspace.active.switch(branching, step)
        if first:
            self._pane.show_message(self._workspace.active, first)

    def action_queue(self) -> None:
        """Choose a queued text to edit in the prompt or to delete."""
        from koel_tui.ui.conversation.queue_picker import QueuePicker

        conversation = self._workspace.active

        def edit(choice: SimpleChoice[str] | None) -> None:
            if choice is None:
                return
            if conversation.unqueue(choice.value):
                self._pane.restore_text(conversation, choice.value)
            else:
                self._notify("The message was already sent.")

        if conversation.queue:
            self.push_screen(QueuePicker(conversation), edit)
        else:
            self._notify("No messages are queued.")

    def action_scroll(self, where: str) -> None:
        """Scroll the transcript; the prompt keeps the focus."""
        self._pane.scroll_messages(where)

    def action_step_message(self, direction: int) -> None:
        """Go to the user message above (-1) or below (1) the scroll position."""
        self._pane.step_message(direction)

    def action_fold(self) -> None:
        """Toggle the folding of thinking and tool calls in the active tab."""
        self._workspace.active.toggle_folded()

    def action_toggle_rendering(self) -> None:
        """Toggle between plain text and Markdown for the newest answer too large for Markdown."""
        if not self._pane.toggle_rendering():
            self._notify("No answer here is shown as plain text.")

    async def action_copy_answer(self) -> None:
        """Copy the newest answer of the active tab."""
        await self._copier.copy_answer(self._workspace.active.last_answer)

    async def action_copy_code(self) -> None:
        """Copy the last code block of the newest answer; when repeated, the one before it."""
        await self._copier.copy_next_code(self._workspace.active.last_answer)

    def action_links(self) -> None:
        """Choose a link from the newest answer of the active tab."""
        self._link_opener.choose(self._workspace.active.last_answer)

    def action_save_code(self) -> None:
        """Save a code block of the newest answer to a file, under a name that the user confirms."""
        from koel_tui.ui.conversation.code_picker import save_code

        save_code(
            self, self._workspace.active.last_answer, self._workspace.active.title, self._notify
        )

    def action_continue_answer(self) -> None:
        """Continue the incomplete answer of the active tab."""
        if not self._refuse_while_busy():
            self._workspace.active.continue_answer()

    def action_retry(self) -> None:
        """Retry the failed turn of the active tab."""
        if not self._refuse_while_busy():
            self._workspace.active.retry()

    async def action_use_template(self, name: str) -> None:
        """Retry the failed turn with another chat template, which is saved in the thread."""
        from koel_tui.ui.settings.thread_settings import set_template

        await set_template(self._workspace.active, name)
        self._workspace.active.retry()

    def _notify_starting(self) -> None:
        self._notify(STILL_STARTING)

    def _refuse_while_busy(self) -> bool:
        """Return whether the active tab is generating an answer; if so, notify the user."""
        if self._workspace.active.is_busy:
            key = key_of(self, "run.stop")
            self._notify(f"An answer is being written. {key} stops it.")
        return self._workspace.active.is_busy

    def copy_to_clipboard(self, text: str) -> None:
        """Copy the selected text by the best available method."""
        self._copier.set_internal_clipboard(
            text
        )  # set first, because the next key may already paste it
        self.run_worker(self._copier.copy_text(text))
