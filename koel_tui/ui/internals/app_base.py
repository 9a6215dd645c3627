"""The app: quiet about its errors, careful with what is pasted, and with what is gone."""

import logging
from pathlib import PurePath
from traceback import extract_tb
from typing import cast

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual._context import active_message_pump
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.screen import Screen
from textual.theme import ThemeProvider
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.worker import WorkerFailed

from koel_tui import limits, paths
from koel_tui.logs import named
from koel_tui.text import safe_input, safe_line, safe_text
from koel_tui.ui.internals.layout import unlaid_list
from koel_tui.ui.internals.line_diff import LineDiff, Update
from koel_tui.ui.internals.terminal_driver import TerminalDriver

_log = logging.getLogger(__name__)


class Palette(CommandPalette):
    """Textual's command palette, safe for keys that come faster than it works."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave, once: a second key right after the first would close the window below."""
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def _action_command_list(self, action: str) -> None:
        with unlaid_list():
            super()._action_command_list(action)


class AppBase(App[int]):
    """An app whose errors end it with one line, and with the traceback in the log.

    Textual would print the traceback with local variables: what users wrote, and their keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crash: Exception | None = None
        self._sent: LineDiff | None = None
        # Those of the cells of a table would be read as markup: text of a model, under the mouse.
        self._disable_tooltips = True
        self.error_console.soft_wrap = True  # a path in a last word can be copied whole

    async def on_event(self, event: events.Event) -> None:
        """Take control characters out of what is pasted, whichever field it goes to.

        What is more than the field takes goes no further.
        """
        if isinstance(event, events.Paste):
            most = self._room()
            if len(event.text) > most:
                problem = limits.too_much("What was pasted", len(event.text), most)
                self.notify(problem, severity="error", markup=False)
                return
            event.text = safe_input(event.text)
        if isinstance(event, events.Resize) and self._sent is not None:
            self._sent.forget()  # so it does after another program has had the terminal
        await super().on_event(event)

    def _room(self) -> int:
        """Return how many characters may be pasted where the focus is."""
        match self.focused:
            case Input():
                return limits.FIELD_CHARACTERS
            case TextArea(id="prompt"):
                return limits.MESSAGE_CHARACTERS
            case _:
                return limits.TEXT_CHARACTERS

    def _refresh_notifications(self) -> None:
        for notice in list(self._notifications)[: -limits.TOLD]:
            del self._notifications[notice]  # the oldest of very many
        super()._refresh_notifications()

    def _end_batch(self) -> None:
        super()._end_batch()
        if not self._batch_count and self._screen_stack:
            self.screen.check_idle()  # it has waited for this, and Textual does not tell it

    def spare_the_line(self) -> None:
        """Send only those lines to the terminal that are others than before."""
        self._sent = LineDiff()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self._batch_count and renderable is not None:
            screen.refresh()  # Textual drops it, and takes it for painted
            return
        if self._sent is not None and isinstance(renderable, Update):
            # Of an update Textual asks nothing but its segments.
            renderable = cast("RenderableType", self._sent.without_repeats(renderable))
        super()._display(screen, renderable)

    def action_command_palette(self) -> None:
        """Show the command palette, once."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette())

    def search_themes(self) -> None:
        """Show the themes to choose from."""
        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes…"))

    def add_last_words(self, words: str, code: int = 0) -> None:
        """Have this said too when the window is gone, and end with this code unless it failed."""
        said = [str(each) for each in self._exit_renderables[:1]]
        self._exit_renderables[:1] = [Text("\n".join([*said, safe_text(words)]))]
        self._return_code = self._return_code or code

    def _handle_exception(self, error: Exception) -> None:
        closes = self._exit or (self._dom_ready and not self.is_running)
        where = active_message_pump.get(None)
        if closes or (isinstance(where, Widget) and where._pruning):
            # What goes on while the window or a panel closes finds widgets gone: a panel left
            # before it was there is told that it is there when its fields never were.
            _log.warning("Left undone by what was closed", exc_info=error)
            return
        cause = error.error if isinstance(error, WorkerFailed) else error
        _log.critical("The window ended by an error", exc_info=cause)
        if self.crash is None:  # else one that came of it
            self.crash = cause if isinstance(cause, Exception) else error
        super()._handle_exception(error)

    def panic(self, *renderables: RenderableType) -> None:
        """End by an error that Textual would show in full: of a style, or of reading the keys."""
        if self.crash is None:
            trace = getattr(renderables[0], "trace", None)
            kinds = ", ".join(stack.exc_type for stack in trace.stacks) if trace else ""
            self.crash = RuntimeError(f"The keys cannot be read any more: {kinds}")
            _log.critical("The keys cannot be read any more: %s", kinds)
        self._return_code = 1
        self._fatal_error()

    def _fatal_error(self) -> None:
        error = self.crash or RuntimeError()
        where = "".join(
            f" in {PurePath(frame.filename).name}, line {frame.lineno}"
            for frame in extract_tb(error.__traceback__)[-1:]
        )
        # Not what it says: it may quote what users wrote, or a key.
        what = f"koel-chat ended by an error of its own: {named(error)}{where}."
        details = f"Where it came from is in {paths.log_file()}"
        self._exit_renderables[:] = [Text(safe_line(f"{what} {details}", 600))]
        self._close_messages_no_wait()

    def get_driver_class(self) -> type[Driver]:
        """Return the driver for this terminal."""
        found = super().get_driver_class()
        return TerminalDriver if found is linux_driver.LinuxDriver else found


def forget_gone(app: App[int]) -> None:
    """Let go of widgets that are gone: those that watched a value, and those a query once found.

    Textual drops the first when the value changes next, and that of a footer or the theme seldom
    does; the second when there are a thousand. A window in use for long would be made of them.
    """
    screens = list(app.screen_stack)
    for node in (app, *screens, *(each for screen in screens for each in screen.walk_children())):
        node._query_one_cache.clear()
        for watchers in getattr(node, "__watchers", {}).values():
            watchers[:] = [each for each in watchers if not each[0]._closing]
