"""The picker of queued texts."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from koel_tui.conversation.conversation import Conversation
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts


class QueuePicker(Picker[SimpleChoice[str]]):
    """Lists the queued texts of a tab, to edit or delete one."""

    TEXTS = PickerTexts(
        "Queued messages", "Type to find a message", "No message is queued", "edits · del deletes"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        close_binding("queue"),
        Binding("delete,ctrl+d", "delete", show=False, priority=True),
    ]

    def __init__(self, conversation: Conversation) -> None:
        super().__init__(_queued_choices(conversation))
        self._conversation = conversation

    def action_delete(self) -> None:
        """Delete the highlighted text from the queue."""
        if (choice := self.highlighted) is not None:
            self._conversation.unqueue(choice.value)
            self.set_choices(_queued_choices(self._conversation))


def _queued_choices(conversation: Conversation) -> list[SimpleChoice[str]]:
    return [SimpleChoice(text, text) for text in conversation.queue]
