"""The conversation in front: its transcript, and the prompt with its draft."""

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical

from koel_tui.ui.attachments import Gauge
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.entries import Spot
from koel_tui.ui.file_picker import FilePicker
from koel_tui.ui.file_prompt import FilePrompt
from koel_tui.ui.pastes import Draft, joined
from koel_tui.ui.still import Still, StillContainer
from koel_tui.ui.transcript import Transcript

_UNSEEN = "[@click=app.scroll('end')]↓ new text below · ctrl+end[/]"


class Pane(Still, Vertical):
    """Shows one conversation at a time; what belongs to it is put away when another comes."""

    def __init__(self, remember: Callable[[Draft], None], interval: float, gauge: Gauge) -> None:
        """Make the pane. `remember` gets what is sent, for the history; `gauge` measures files.

        The transcript is painted at most once every `interval` seconds.
        """
        super().__init__(id="pane")
        self._interval = interval
        self._conversation: Conversation | None = None
        self._transcript: Transcript | None = None
        self._messages = StillContainer(id="messages")
        self._files = FilePicker()
        self.prompt = FilePrompt(self._send, remember, gauge, self._files)

    def compose(self) -> ComposeResult:
        """Yield the place of the transcript, the list of files above the prompt, and the prompt."""
        yield self._messages
        yield self._files
        yield self.prompt

    def on_resize(self, event: events.Resize) -> None:
        """Keep the prompt from filling a low window."""
        self.prompt.grow_within(event.size.height)

    async def show(self, conversation: Conversation) -> None:
        """Show this conversation where the user left it."""
        if conversation is self._conversation:
            return
        self.put_away()
        # These go together, before anything is awaited: what is typed meanwhile is the new one's.
        self._conversation = conversation
        self._transcript = Transcript(conversation, conversation.place, self._interval)
        self.prompt.show(conversation.draft)
        self.prompt.border_title = None
        with self.app.batch_update():
            await self._messages.remove_children()
            await self._messages.mount(self._transcript)
            self._transcript.return_to_place()

    def put_away(self) -> None:
        """Give the conversation the draft and the place that are its."""
        self.keep_draft()
        if self._conversation is not None and self._transcript is not None:
            self._conversation.place = self._transcript.place()

    def keep_draft(self) -> None:
        """Give the conversation what is typed in the prompt."""
        if self._conversation is not None:
            self._conversation.draft = self.prompt.text

    def changed(self, conversation: Conversation) -> None:
        """Paint the messages anew, if they are this conversation's."""
        if conversation is self._conversation and self._transcript is not None:
            self._transcript.poke()

    def give_back(self, conversation: Conversation, text: str) -> None:
        """Put text where the user writes to this conversation, before what is there already."""
        text = self.prompt.pastes.collapse(text)
        if conversation is self._conversation:
            self.prompt.replace_text(joined(text, self.prompt.text))
        else:
            conversation.draft = joined(text, conversation.draft)

    def scroll_messages(self, where: str) -> None:
        """Scroll to an end, or by a line or a page."""
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
                transcript.move(-1 if where == "up" else 1)
            case "page_up" | "page_down":
                transcript.move(-page if where == "page_up" else page)

    def on_transcript_unseen(self, event: Transcript.Unseen) -> None:
        """Say between the messages and the prompt that there is something new below.

        In the frame of the prompt it hides no text, and comes and goes without a new layout.
        """
        if event.transcript is self._transcript:
            self.prompt.border_title = _UNSEEN if event.unseen else None

    def step_message(self, direction: int) -> None:
        """Go to the message of the user above (-1) or below (1) what is being read."""
        if self._transcript is not None:
            self._transcript.step(direction)

    def show_message(self, conversation: Conversation, entry_id: str) -> None:
        """Show a message of this conversation, now or when it comes to the front."""
        if conversation is self._conversation and self._transcript is not None:
            self._transcript.go_to(entry_id)
        else:
            conversation.place = Spot(entry_id)

    def render_plain(self) -> bool:
        """Render the newest answer shown plainly, or take that back; tell if there is one."""
        return self._transcript is not None and self._transcript.render_plain()

    def _send(self, text: str) -> None:
        if self._conversation is not None and self._transcript is not None:
            self._conversation.ask(text)
            self._transcript.go_to_end()
