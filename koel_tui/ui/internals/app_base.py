"""The base class of the app: private error reports, sanitized pastes, release of old widgets."""

import logging
from pathlib import PurePath
from traceback import extract_tb
from typing import cast

from rich.console import RenderableType
from rich.text import Text
from textual import events
from textual._compositor import CompositorUpdate
from textual._context import active_message_pump
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.command import CommandPalette
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import ThemeProvider
from textual.widget import Widget
from textual.widgets import Input, TextArea
from textual.worker import WorkerFailed

from koel_tui import limits, paths
from koel_tui.logs import error_name
from koel_tui.text import safe_input, safe_line, safe_text
from koel_tui.ui.internals.layout import ignore_empty_list
from koel_tui.ui.internals.output_sanitizer import install_output_sanitizer
from koel_tui.ui.internals.screen_diff import ScreenDiff
from koel_tui.ui.internals.terminal_driver import (
    TerminalDriver,
    survive_terminal_loss,
    tolerate_invalid_utf8,
    use_input_parser,
)

_log = logging.getLogger(__name__)

_MAX_NOTIFICATION = 400
"""The maximum length of a notification in characters."""


class Palette(CommandPalette):
    """Textual's command palette, safe for keys that arrive faster than it handles them."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Dismiss only once, because a second quick key would dismiss the screen below."""
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def _action_command_list(self, action: str) -> None:
        with ignore_empty_list():
            super()._action_command_list(action)


class AppBase(App[int]):
    """An app that prints one line for a fatal error and logs the traceback.

    Textual would print the traceback with local variables: the user's texts and secret keys.
    """

    def __init__(self) -> None:
        super().__init__()
        survive_terminal_loss()
        tolerate_invalid_utf8()
        use_input_parser()
        install_output_sanitizer()
        # Textual would animate the underline of the tabs for 0.3 s at every label change.
        self.animation_level = "none"
        self.crash: Exception | None = None
        self._screen_diff: ScreenDiff | None = None
        # Textual parses tooltips of table cells as markup, and they contain text of the model.
        self._disable_tooltips = True
        self.error_console.soft_wrap = True  # a long path in an exit message stays copyable

    async def on_event(self, event: events.Event) -> None:
        """Sanitize pasted text for every field.

        A paste over the limit of the focused field is rejected.
        """
        if isinstance(event, events.Paste):
            most = self._max_paste()
            if len(event.text) > most:
                problem = limits.too_long_message("The pasted text", len(event.text), most)
                self.notify(problem, severity="error")
                return
            event.text = safe_input(event.text)
        if isinstance(event, events.Resize) and self._screen_diff is not None:
            self._screen_diff.forget()  # also sent after another program had the terminal
            self.refresh(layout=True)  # the screen may have been updated before this event
        await super().on_event(event)

    def _max_paste(self) -> int:
        """Return how many characters may be pasted into the focused field."""
        match self.focused:
            case Input():
                return limits.MAX_FIELD_CHARACTERS
            case TextArea(id="prompt"):
                return limits.MAX_MESSAGE_CHARACTERS
            case _:
                return limits.MAX_TEXT_CHARACTERS

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a notification, which is one sanitized line.

        `markup` has no effect, because most messages contain text of users, models or servers.
        """
        super().notify(
            safe_line(message, _MAX_NOTIFICATION),
            title=title,
            severity=severity,
            timeout=timeout,
            markup=False,
        )

    def _refresh_notifications(self) -> None:
        for notice in list(self._notifications)[: -limits.MAX_TOASTS]:
            del self._notifications[notice]  # drop the oldest over the limit
        super()._refresh_notifications()

    def _end_batch(self) -> None:
        super()._end_batch()
        if not self._batch_count:
            for screen in self._screen_stack:
                screen.check_idle()  # it waits for the end, and Textual does not notify it

    def enable_screen_diff(self) -> None:
        """Send only what changed to the terminal."""
        self._screen_diff = ScreenDiff()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self._batch_count and renderable is not None:
            screen.refresh()  # Textual drops it but considers it painted
            return
        if self._screen_diff is not None and isinstance(renderable, CompositorUpdate):
            # Textual uses only the segments of an update.
            renderable = cast("RenderableType", self._screen_diff.update(screen))
        super()._display(screen, renderable)

    def action_command_palette(self) -> None:
        """Show the command palette, unless it is open."""
        if not isinstance(self.screen, CommandPalette):
            self.push_screen(Palette())

    def search_themes(self) -> None:
        """Show the theme picker."""
        self.push_screen(Palette([ThemeProvider], placeholder="Search for themes…"))

    def add_exit_message(self, words: str, code: int = 0) -> None:
        """Print `words` after the app exits, and exit with `code` unless an error code is set."""
        messages = [str(each) for each in self._exit_renderables[:1]]
        self._exit_renderables[:1] = [Text("\n".join([*messages, safe_text(words)]))]
        self._return_code = self._return_code or code

    def _handle_exception(self, error: Exception) -> None:
        closes = self._exit or (self._dom_ready and not self.is_running)
        where = active_message_pump.get(None)
        if closes or (isinstance(where, Widget) and where._pruning):
            # Handlers that run while the app or a panel closes may not find their widgets: a panel
            # dismissed before it mounted still gets its mount event, but has no fields.
            _log.warning("Left undone by what was closed", exc_info=error)
            return
        cause = error.error if isinstance(error, WorkerFailed) else error
        _log.critical("The window ended by an error", exc_info=cause)
        if self.crash is None:  # keep the first error; later ones follow from it
            self.crash = cause if isinstance(cause, Exception) else error
        super()._handle_exception(error)

    def panic(self, *renderables: RenderableType) -> None:
        """Exit on an error that Textual would print in full: in a style, or in the input thread."""
        if self.crash is None:
            trace = getattr(renderables[0], "trace", None)
            kinds = ", ".join(stack.exc_type for stack in trace.stacks) if trace else ""
            self.crash = RuntimeError(f"The keys can no longer be read: {kinds}")
            _log.critical("The keys can no longer be read: %s", kinds)
        self._return_code = 1
        self._fatal_error()

    def _fatal_error(self) -> None:
        error = self.crash or RuntimeError()
        where = "".join(
            f" in {PurePath(frame.filename).name}, line {frame.lineno}"
            for frame in extract_tb(error.__traceback__)[-1:]
        )
        # The message is left out, because it may quote the user's text or a secret key.
        what = f"koel-chat ended because of an internal error: {error_name(error)}{where}."
        details = f"Details are in {paths.log_file()}"
        self._exit_renderables[:] = [Text(safe_line(f"{what} {details}", 600))]
        self._close_messages_no_wait()

    def get_driver_class(self) -> type[Driver]:
        """Return the driver class for this terminal."""
        found = super().get_driver_class()
        return TerminalDriver if found is linux_driver.LinuxDriver else found


def drop_dead_references(app: App[int]) -> None:
    """Release removed widgets from watchers of reactive values and from query caches.

    Textual drops such watchers only when the value changes, which is rare for the footer or the
    theme, and a cache keeps up to 1000 entries. A long-running app would leak RAM.
    """
    screens = list(app.screen_stack)
    for node in (app, *screens, *(each for screen in screens for each in screen.walk_children())):
        node._query_one_cache.clear()
        for watchers in getattr(node, "__watchers", {}).values():
            watchers[:] = [each for each in watchers if not each[0]._closing]
