"""Editing a sent message in the prompt, with the draft that it replaced saved meanwhile."""

from koel_tui.conversation.conversation import Conversation, MessageEdit
from koel_tui.ui.composer.file_prompt import FilePrompt
from koel_tui.ui.keys.hints import format_hints

_HINTS = (("prompt.send", "sends"), ("run.stop", "cancels"))


class MessageEditor:
    """Puts sent messages of the active conversation into the prompt."""

    def __init__(self, prompt: FilePrompt) -> None:
        self._prompt = prompt

    def edit_last_message(self, conversation: Conversation) -> bool:
        """Put the user's last message into the prompt, or the one before the message being edited.

        Return False if there is none.
        """
        questions = [entry for entry in conversation.entries() if entry.role == "user"]
        before = conversation.message_edit
        ids = [entry.id for entry in questions]
        if before is not None and before.message_id in ids:
            questions = questions[: max(1, ids.index(before.message_id))]
        if not questions:
            return False
        draft = before.draft if before is not None else self._prompt.text
        self._add_edit_to_history(conversation)
        conversation.message_edit = MessageEdit(questions[-1].id, draft)
        self._prompt.replace_whole_text(questions[-1].text)
        self.show_state(conversation)
        return True

    def cancel(self, conversation: Conversation) -> bool:
        """Stop editing a message and restore the saved draft; return False if none is edited."""
        if conversation.message_edit is None:
            return False
        self._add_edit_to_history(conversation)
        self._prompt.replace_text(conversation.message_edit.draft)
        conversation.message_edit = None
        self.show_state(conversation)
        return True

    def show_state(self, conversation: Conversation) -> None:
        """Show in the prompt's border whether a message is being edited."""
        hints = f"editing your message · {format_hints(self._prompt.app, _HINTS)}"
        self._prompt.border_subtitle = hints if conversation.message_edit is not None else None

    def _add_edit_to_history(self, conversation: Conversation) -> None:
        """Add an edited but unsent message to the prompt history."""
        if (edit := conversation.message_edit) is None:
            return
        text = self._prompt.whole_text
        if all(
            entry.text != text for entry in conversation.entries() if entry.id == edit.message_id
        ):
            self._prompt.add_to_history(self._prompt.text)
