"""A column with the transcript of one conversation, and a heading in side-by-side view."""

from collections.abc import Callable, MutableMapping, Sequence

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.entries import Entry
from koel_tui.conversation.notices import Notice, ProgramModel, notices_for
from koel_tui.text import safe_line
from koel_tui.ui.transcript.scroll_position import ScrollPosition, ScrollTarget
from koel_tui.ui.transcript.transcript import Transcript
from koel_tui.ui.widgets.no_restyle import NoRestyleContainer

Positions = MutableMapping[Conversation, ScrollPosition | ScrollTarget | None]


class ConversationSource:
    """The source of a conversation's transcript: entries, and notices below them."""

    def __init__(self, conversation: Conversation, model: Callable[[], ProgramModel]) -> None:
        self._conversation = conversation
        self._model = model

    def entries(self) -> Sequence[Entry]:
        """Return the entries, oldest first."""
        return self._conversation.entries()

    def rows(self) -> Sequence[Notice]:
        """Return the notices below the entries."""
        return notices_for(self._conversation, self._model())


class TranscriptColumn(NoRestyleContainer):
    """Shows one conversation at a time, at its saved scroll position."""

    def __init__(
        self,
        interval: float,
        positions: Positions,
        model: Callable[[], ProgramModel],
        *,
        id: str,  # noqa: A002 - Textual's word
    ) -> None:
        """Repaint the transcript at most once every `interval` seconds.

        `positions` are the scroll positions of conversations; `model` returns the state of the
        program's model.
        """
        super().__init__(id=id)
        self._interval = interval
        self._positions = positions
        self._model = model
        self._heading = Static(classes="heading")
        self._heading.display = False
        self.conversation: Conversation | None = None
        self.transcript: Transcript | None = None

    def compose(self) -> ComposeResult:
        """Yield the heading."""
        yield self._heading

    def attach(self, conversation: Conversation) -> None:
        """Set the conversation; `show` mounts its transcript."""
        self.conversation = conversation
        source = ConversationSource(conversation, self._model)
        self.transcript = Transcript(source, self._positions.get(conversation), self._interval)

    async def show(self) -> None:
        """Mount the conversation's transcript at its saved scroll position."""
        await self.query_children(Transcript).remove()
        if self.transcript is not None:
            await self.mount(self.transcript)
            self.transcript.restore_scroll_position()

    def store_view_state(self) -> None:
        """Save the conversation's scroll position."""
        if self.conversation is not None and self.transcript is not None:
            self._positions[self.conversation] = self.transcript.scroll_position()

    def detach(self) -> None:
        """Save the scroll position and remove the conversation."""
        self.store_view_state()
        self.conversation = self.transcript = None

    def changed(self, conversation: Conversation) -> None:
        """Repaint the messages if they belong to this conversation."""
        if conversation is self.conversation and self.transcript is not None:
            self.transcript.request_repaint()

    def set_title(self, text: str) -> None:
        """Show a heading above the messages; an empty string hides it."""
        if text != self._heading.content or bool(text) != self._heading.display:
            self._heading.update(Content(safe_line(text)))
            self._heading.display = bool(text)
