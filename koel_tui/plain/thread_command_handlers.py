"""The handlers of the plain mode's commands within the active thread."""

from collections.abc import Awaitable, Callable, Mapping

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.titles_and_summaries import summary_job
from koel_tui.plain.announcer import chat_entries, format_message
from koel_tui.plain.commands import parse_index
from koel_tui.plain.setting_command_handlers import SettingCommandHandlers
from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.workspace import Workspace

_MAX_EXCERPT = 60
_BUSY = "An answer is being written. /stop stops it."


class ThreadCommandHandlers:
    """The handlers of commands on the active thread; `say` prints a line.

    `skip_user_message` is called after the thread's content changed in a way that the user
    already knows, `return_text` with unsent text that becomes the draft.
    """

    def __init__(
        self,
        workspace: Workspace,
        runtime: Runtime,
        background: BackgroundJobs,
        say: Callable[[str], None],
        skip_user_message: Callable[[], None],
        return_text: Callable[[Conversation, str], None],
    ) -> None:
        self._workspace = workspace
        self._runtime = runtime
        self._background = background
        self._say = say
        self._skip_user_message = skip_user_message
        self._return_text = return_text
        self._setting_handlers = SettingCommandHandlers(workspace, runtime, say)

    @property
    def by_name(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        """The command handlers, keyed by command name."""
        return {
            "again": self._again,
            "continue": self._continue,
            "retry": self._retry,
            "edit": self._edit,
            "branches": self._branches,
            "branch": self._branch,
            "summary": self._summary,
            "queue": self._queue,
            "title": self._title,
            **self._setting_handlers.by_name,
        }

    async def _again(self, _: str) -> None:
        if not self._refuse_if_busy():
            self._workspace.active.regenerate()
            self._skip_user_message()

    async def _continue(self, _: str) -> None:
        if not self._refuse_if_busy():
            self._workspace.active.continue_answer()

    async def _retry(self, _: str) -> None:
        if not self._refuse_if_busy():
            self._workspace.active.retry()

    async def _edit(self, text: str) -> None:
        conversation = self._workspace.active
        sent = [entry for entry in chat_entries(conversation) if entry.role == "user"]
        if not sent:
            self._say("You have no message here to edit.")
        elif not text:
            self._say("Type the new message after the command: /edit MESSAGE.")
        elif not self._refuse_if_busy():
            conversation.edit(sent[-1].id, text)
            self._skip_user_message()

    async def _branches(self, _: str) -> None:
        branches = self._workspace.active.branches
        if not branches:
            self._say("This thread has no branches. /again and /edit create one.")
        for number, branch in enumerate(branches, 1):
            text = safe_line(branch.text, _MAX_EXCERPT)
            description = format_message(branch.role, text) if branch.role else "no messages"
            self._say(f"{number}{', shown' if branch.is_shown else ''}: {description}")

    async def _branch(self, argument: str) -> None:
        conversation = self._workspace.active
        branches = dict(enumerate(conversation.branches, 1))
        branch = branches.get(parse_index(argument))
        if branch is None:
            self._say("No branch has this number. /branches lists them.")
        elif branch.is_shown:
            self._say("This branch is already shown.")
        elif not self._refuse_if_busy():
            branch_point = branch.branch_point
            conversation.switch(branch_point, branch.number - branch_point.number)
            self._skip_user_message()
            if not conversation.problem:
                self._say(f"Branch {argument} is shown. /read prints its last messages.")

    async def _summary(self, _: str) -> None:
        conversation = self._workspace.active
        if conversation.is_new:
            self._say("This thread has no messages to summarise yet.")
            return
        self._background.add(summary_job(conversation, self._on_summary))
        self._say("A new thread opens when the summary is ready.")

    def _on_summary(self, conversation: Conversation, summary: str) -> None:
        if not summary:
            self._say(f"The model returned no summary of {_quote_title(conversation)}. Try again.")
            return
        tabs, before = self._workspace.tabs, self._workspace.active
        new = self._workspace.add_new(conversation.meta.copy(""))
        new.draft = summary
        tabs.activate(before)  # the user may be typing there
        number = tabs.number(new)
        self._say(
            f"Thread {number} begins with a summary of {_quote_title(conversation)}. "
            f"/tab {number} goes there."
        )

    async def _queue(self, argument: str) -> None:
        conversation = self._workspace.active
        queued = dict(enumerate(conversation.queue, 1))
        if not queued:
            self._say("No messages are queued.")
        elif not argument:
            for number, text in queued.items():
                self._say(f"{number}: {safe_line(text)}")
        elif (text := queued.get(parse_index(argument), "")) and conversation.unqueue(text):
            self._return_text(conversation, text)
            self._say("The message is not sent. You can edit it after the answer.")
        else:
            self._say("No queued message has this number. /queue lists them.")

    async def _title(self, title: str) -> None:
        conversation = self._workspace.active
        if title:
            await conversation.configure(" ".join(title.split()), conversation.meta.settings)
        self._say(f"This thread is called {_quote_title(conversation)}.")

    def _refuse_if_busy(self) -> bool:
        """Return whether the active thread is generating, and tell the user so."""
        if self._workspace.active.is_busy:
            self._say(_BUSY)
        return self._workspace.active.is_busy


def _quote_title(conversation: Conversation) -> str:
    return f"“{safe_line(conversation.title)}”"
