"""The handlers of the plain mode's commands within the active thread."""

from collections.abc import Awaitable, Callable, Mapping

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import joined
from koel_tui.conversation.titles_and_summaries import summary_job
from koel_tui.plain.announcer import labelled, spoken
from koel_tui.plain.setting_command_handlers import SettingCommandHandlers
from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.workspace import Workspace

_EXCERPT = 60
_BUSY = "An answer is being written. /stop stops it."


class ThreadCommandHandlers:
    """The handlers of commands on the active thread; `say` prints a line.

    `asked` is called after the thread's content changed in a way that the user already knows.
    """

    def __init__(
        self,
        desk: Workspace,
        startup: Runtime,
        background: BackgroundJobs,
        say: Callable[[str], None],
        asked: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._startup = startup
        self._background = background
        self._say = say
        self._asked = asked
        self._setting_orders = SettingCommandHandlers(desk, startup, say)

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
            **self._setting_orders.by_name,
        }

    async def _again(self, _: str) -> None:
        if not self._must_wait():
            self._desk.active.regenerate()
            self._asked()

    async def _continue(self, _: str) -> None:
        if not self._must_wait():
            self._desk.active.go_on()

    async def _retry(self, _: str) -> None:
        if not self._must_wait():
            self._desk.active.retry()

    async def _edit(self, text: str) -> None:
        conversation = self._desk.active
        asked = [entry for entry in spoken(conversation) if entry.role == "user"]
        if not asked:
            self._say("There is no message of yours here to edit.")
        elif not text:
            self._say("Type the message that is to stand in its place: /edit MESSAGE.")
        elif not self._must_wait():
            conversation.edit(asked[-1].id, text)
            self._asked()

    async def _branches(self, _: str) -> None:
        branches = self._desk.active.branches
        if not branches:
            self._say("Nothing branches here. /again answers again, /edit edits your message.")
        for number, branch in enumerate(branches, 1):
            text = safe_line(branch.text, _EXCERPT)
            what = labelled(branch.role, text) if branch.role else "nothing was said in it yet"
            self._say(f"{number}{', shown' if branch.shown else ''}: {what}")

    async def _branch(self, wanted: str) -> None:
        conversation = self._desk.active
        branches = dict(enumerate(conversation.branches, 1))
        branch = branches.get(int(wanted) if wanted.isdecimal() else 0)
        if branch is None:
            self._say("There is no branch of this number. /branches lists them.")
        elif branch.shown:
            self._say("This branch is shown already.")
        elif not self._must_wait():
            branching = branch.branching
            conversation.switch(branching, branch.place - branching.shown)
            self._asked()
            if not conversation.problem:
                self._say(f"Branch {wanted} is shown. /read reads the last of it.")

    async def _summary(self, _: str) -> None:
        conversation = self._desk.active
        if conversation.untouched:
            self._say("Nothing was said here yet, so there is nothing to summarise.")
            return
        self._background.add(summary_job(conversation, self._summarised))
        self._say("A new thread opens with a summary as soon as the model has made it.")

    def _summarised(self, conversation: Conversation, summary: str) -> None:
        if not summary:
            self._say(f"No summary came of {_quoted(conversation)}. Ask again.")
            return
        tabs, before = self._desk.tabs, self._desk.active
        new = self._desk.add_new(conversation.about.copy(""))
        new.draft = summary
        tabs.activate(before)  # the user may be typing there
        number = tabs.number(new)
        self._say(
            f"Thread {number} begins with a summary of {_quoted(conversation)}. "
            f"/tab {number} goes there."
        )

    async def _queue(self, wanted: str) -> None:
        conversation = self._desk.active
        waiting = dict(enumerate(conversation.queue, 1))
        if not waiting:
            self._say("Nothing waits to be sent.")
        elif not wanted:
            for number, text in waiting.items():
                self._say(f"{number}: {safe_line(text)}")
        elif (text := waiting.get(int(wanted) if wanted.isdecimal() else 0, "")) and (
            conversation.take_back(text)
        ):
            conversation.draft = joined(text, conversation.draft)
            self._say("It is not sent. You can edit it as soon as the answer is over.")
        else:
            self._say("Nothing of this number waits. /queue lists what does.")

    async def _title(self, title: str) -> None:
        conversation = self._desk.active
        if title:
            await conversation.configure(" ".join(title.split()), conversation.about.settings)
        self._say(f"This thread is called {_quoted(conversation)}.")

    def _must_wait(self) -> bool:
        """Return whether the active thread is generating, and tell the user so."""
        if self._desk.active.busy:
            self._say(_BUSY)
        return self._desk.active.busy


def _quoted(conversation: Conversation) -> str:
    return f"“{safe_line(conversation.title)}”"
