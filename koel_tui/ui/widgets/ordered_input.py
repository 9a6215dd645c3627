"""A one-line input that handles keys and text in the order in which they were typed."""

from textual import events
from textual.widgets import Input

from koel_tui.ui.internals import bindings_for


class OrderedInput(Input):
    """An `Input` whose own key bindings run in the order of the text around them.

    Textual runs a binding after the key has bubbled up to the screen. By then text that was typed
    after ctrl+u is in the field, and ctrl+u deletes that text too.
    """

    async def on_key(self, event: events.Key) -> None:
        """Run the action that this input binds to the key."""
        for binding in bindings_for(self, event.key):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return
