"""What the user does with the conversation in front: asks, branches, reads, copies, saves."""

from textual.widgets import Markdown

from koel_tui.text import safe_line
from koel_tui.ui.choices import Named
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.hints import told
from koel_tui.ui.links import written
from koel_tui.ui.tabbed import TabbedApp


class ConversingApp(TabbedApp):
    """A window of tabs that can do all there is to do in one."""

    def ended(self, conversation: Conversation) -> None:
        """Offer to free a context where a thread in front could not get one."""
        super().ended(conversation)
        if conversation.at_cap and conversation is self._desk.active:
            self._offer_parking(conversation)

    def _offer_parking(self, conversation: Conversation) -> None:
        from koel_tui.ui.question import Question

        other, backend = self._desk.unused_longest(), self._startup.backend
        if other is None or backend is None:
            return

        async def park(agreed: bool | None) -> None:
            if agreed:
                await backend.agent.release(other.thread_id or "")
                conversation.retry()

        text = (
            f"As many threads have a context of the model as it keeps. The one used least lately is"
            f"\n\n  {safe_line(other.title)}\n\nParked, it stays open and saved; when it goes on it"
            " may have to be read again."
        )
        self.push_screen(Question("Park a thread?", text, "parks it and asks again"), park)

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Ask whether to open a link; nothing of a model's is opened unasked."""
        self._visitor.ask(written(event.markdown.source, event.href))

    def action_thread_settings(self) -> None:
        """Ask for the name of the thread in front, its role, and how it is to be answered."""
        from koel_tui.ui.thread_settings import ask_for_settings

        backend, conversation = self._startup.backend, self._desk.active
        if backend is None or conversation.asleep:
            self._tell("The settings of a thread can be changed as soon as the start is over.")
        else:
            ask_for_settings(self, conversation, backend.defaults)

    def action_summarise(self) -> None:
        """Open a tab with a new thread, and a summary of this one in its prompt."""
        from koel_tui.ui.asides import summary_job

        conversation = self._desk.active
        if conversation.untouched:
            self._tell("Nothing was said here yet, so there is nothing to summarise.")
            return
        self._background.add(summary_job(conversation, self._take_summary))
        self._tell("A new tab opens with a summary as soon as the model has made it.")

    def _take_summary(self, conversation: Conversation, summary: str) -> None:
        # In the window's own queue: the job it comes from may be ended at any time.
        self.call_later(self._summarised, conversation, summary)

    async def _summarised(self, conversation: Conversation, summary: str) -> None:
        if not summary:
            self._tell(f"No summary came of {conversation.title}. Ask again, or another model.")
            return
        self._pane.put_away()
        before = self._desk.active
        new = self._desk.add_new(conversation.about.copy(""))
        if before is not conversation or before.draft:
            self._desk.tabs.activate(before)  # somebody writes there
            self._desk.tabs.mark_unread(new)
        await self._show_active()
        self._pane.give_back(new, summary)

    async def action_branch_off(self) -> None:
        """Open a tab with a new thread, as this one is up to the answer being read."""
        if not (answer := self._pane.answer_read()):
            self._tell("There is no answer yet from which a new thread could go on.")
            return
        self._pane.put_away()
        await self._open(self._desk.branch(answer))

    def action_stop(self) -> None:
        """Leave the editing of a message, else stop the answers in sight."""
        if not self._pane.leave_revision():
            for conversation in (self._desk.active, self._desk.tabs.beside):
                if conversation is not None:
                    conversation.stop()

    def action_regenerate(self) -> None:
        """Have the last question of the tab in front answered again."""
        if not self._must_wait():
            self._desk.active.regenerate()

    def action_revise(self) -> None:
        """Edit the last message of the user's in the tab in front; again: the one before."""
        if not self._pane.revise():
            self._tell("There is no message of yours here to edit.")

    def action_switch_branch(self, step: int) -> None:
        """Show another branch of the thread where it is being read."""
        if self._must_wait():
            return
        branching = self._pane.branching()
        if branching is None:
            hints = (("run.regenerate", "answers again"), ("message.edit", "edits a message"))
            self._tell(f"Nothing branches here: {told(self, hints)}.")
            return
        first = self._desk.active.switch(branching, step)
        if first:
            self._pane.show_message(self._desk.active, first)

    def action_queue(self) -> None:
        """Choose a text that waits to be sent, to edit it in the prompt or to drop it."""
        from koel_tui.ui.queue_picker import QueuePicker

        conversation = self._desk.active

        def edit(choice: Named[str] | None) -> None:
            if choice is None:
                return
            if conversation.take_back(choice.value):
                self._pane.give_back(conversation, choice.value)
            else:
                self._tell("It has been sent meanwhile.")

        if conversation.queue:
            self.push_screen(QueuePicker(conversation), edit)
        else:
            self._tell("Nothing waits to be sent here.")

    def action_scroll(self, where: str) -> None:
        """Scroll the transcript while the prompt keeps the focus."""
        self._pane.scroll_messages(where)

    def action_step_message(self, direction: int) -> None:
        """Go to the message of the user above (-1) or below (1) what is being read."""
        self._pane.step_message(direction)

    def action_fold(self) -> None:
        """Unfold thinking and calls in the tab in front, or fold them again."""
        self._desk.active.fold()

    def action_render_plain(self) -> None:
        """Render the newest answer shown plainly, or show it plainly again."""
        if not self._pane.render_plain():
            self._tell("No answer here is shown plainly.")

    async def action_copy_answer(self) -> None:
        """Copy the newest answer of the tab in front."""
        await self._copier.answer(self._desk.active.last_answer)

    async def action_copy_code(self) -> None:
        """Copy a code block of the newest answer, from the last one on."""
        await self._copier.next_code(self._desk.active.last_answer)

    def action_links(self) -> None:
        """Choose a link of the newest answer of the tab in front."""
        self._visitor.choose(self._desk.active.last_answer)

    def action_save_code(self) -> None:
        """Save a code block of the newest answer to a file, under a name the user confirms."""
        from koel_tui.ui.code_picker import save_code

        save_code(self, self._desk.active.last_answer, self._desk.active.title, self._tell)

    def action_go_on(self) -> None:
        """Continue the incomplete answer of the tab in front."""
        if not self._must_wait():
            self._desk.active.go_on()

    def action_retry(self) -> None:
        """Run the turn of the tab in front that failed again."""
        if not self._must_wait():
            self._desk.active.retry()

    async def action_use_template(self, name: str) -> None:
        """Run the turn that failed again with another chat template; the thread keeps it."""
        from koel_tui.ui.thread_settings import with_template

        await with_template(self._desk.active, name)
        self._desk.active.retry()

    def _must_wait(self) -> bool:
        """Say whether an answer is being written in the tab in front, to the user too."""
        if self._desk.active.busy:
            self._tell("An answer is being written here; esc stops it.")
        return self._desk.active.busy

    def copy_to_clipboard(self, text: str) -> None:
        """Copy a selection the best way there is."""
        self._copier.remember(text)  # before any key after this one may paste it
        self.run_worker(self._copier.text(text))
