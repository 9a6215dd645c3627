"""What the commands of the plain mode do within the thread in front."""

from collections.abc import Awaitable, Callable, Mapping

from koel_tui.text import safe_line
from koel_tui.ui.asides import summary_job
from koel_tui.ui.background import Background
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.desk import Desk
from koel_tui.ui.pastes import joined
from koel_tui.ui.plain.reading import labelled, spoken
from koel_tui.ui.plain.setting_orders import SettingOrders
from koel_tui.ui.startup import Startup

_EXCERPT = 60
_BUSY = "An answer is being written. /stop stops it."


class ThreadOrders:
    """Carries out commands on one thread; `say` prints a line.

    `asked` is told when what is in the thread is another, and known to the user already.
    """

    def __init__(
        self,
        desk: Desk,
        startup: Startup,
        background: Background,
        say: Callable[[str], None],
        asked: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._startup = startup
        self._background = background
        self._say = say
        self._asked = asked
        self._setting_orders = SettingOrders(desk, startup, say)

    @property
    def by_name(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        """What carries out a command, by its name."""
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
        tabs.activate(before)  # where somebody types
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
        """Say whether an answer is being written in the thread in front, to the user too."""
        if self._desk.active.busy:
            self._say(_BUSY)
        return self._desk.active.busy


def _quoted(conversation: Conversation) -> str:
    return f"“{safe_line(conversation.title)}”"
