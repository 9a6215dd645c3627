"""The only place that reaches inside Textual, whose version is pinned; tests watch each use."""

import logging
import termios
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from traceback import extract_tb
from typing import cast

from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import Segment
from rich.text import Text
from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual._context import active_message_pump
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingsMap, BindingType
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers import linux_driver
from textual.drivers._writer_thread import WriterThread
from textual.geometry import Size
from textual.keys import REPLACED_KEYS, _character_to_key, key_to_character
from textual.screen import Screen
from textual.strip import Strip
from textual.theme import ThemeProvider
from textual.widget import Widget
from textual.widgets import Input, Tabs, TextArea
from textual.widgets._markdown import MarkdownTable
from textual.worker import WorkerFailed

from koel_tui import paths
from koel_tui.logs import named
from koel_tui.text import drop_controls, safe_input, safe_line, safe_text
from koel_tui.ui import limits

_log = logging.getLogger(__name__)

_NAMED = {"enter": ("\r", "\n")}
_OPENERS = tuple(f"\x1b{opener}..." for opener in "[]NOPX^_\\")
"""What control sequences and strings of terminals begin with."""


@dataclass(frozen=True, slots=True)
class _Key:
    value: str


def teach_alt_keys(keys: Iterable[str]) -> None:
    """Make these keys with alt arrive as what they are where they come as escape and a character.

    So they do without a keyboard protocol, in tmux for instance. There Textual takes alt+enter
    for enter, which would send the prompt instead of starting a new line, alt+1 for the ¡ of
    some keyboards, and waits a tenth of a second for what may follow every other.
    """
    if isinstance(ANSI_SEQUENCES_KEYS, dict):
        for key in keys:
            for sequence in _sequences(key):
                # Textual asks the members of the tuple for nothing but their value.
                ANSI_SEQUENCES_KEYS[sequence] = (_Key(key),)


def _sequences(key: str) -> list[str]:
    *modifiers, name = key.split("+")
    character = character_of(name) or ""  # alt+up has none, and is known as it is
    characters = _NAMED.get(name, (character,) if character.isprintable() else ())
    if modifiers == ["alt"]:
        return [f"\x1b{character}" for character in characters if character]
    if modifiers == ["alt", "shift"]:
        return [f"\x1b{character.upper()}" for character in characters if character.islower()]
    return []


def name_of_character(character: str) -> str:
    """Return what Textual calls the key of a character."""
    return _character_to_key(character)


def character_of(name: str) -> str | None:
    """Return the character whose key has this name, None where the key is none of a character."""
    return key_to_character(REPLACED_KEYS.get(name, name))


def begins_others(key: str) -> bool:
    """Say whether a terminal sends for this key what it begins the sequences of others with."""
    return any(
        known.startswith(sequence) and known != sequence
        for sequence in _sequences(key)
        for known in (*ANSI_SEQUENCES_KEYS, *_OPENERS)
    )


def rebind(
    node: DOMNode,
    bindings: Iterable[BindingType],
    inherited: type[DOMNode] | None = None,
    freed: Iterable[str] = (),
) -> None:
    """Give a widget or app these bindings in place of its own, before it is mounted.

    It keeps those of the class `inherited`, without the keys `freed`.
    """
    kept = inherited._merged_bindings if inherited else None
    keys = dict(kept.key_to_bindings) if kept else {}
    for key in freed:
        keys.pop(key, None)
    node._bindings = BindingsMap.from_keys({**keys, **BindingsMap(bindings).key_to_bindings})


def bindings_of(node: DOMNode, key: str) -> list[Binding]:
    """Return what a key is bound to in this widget or app, after any remapping."""
    return _in_force(node).key_to_bindings.get(key, [])


def keys_by_id(*nodes: DOMNode) -> dict[str, list[str]]:
    """Return the keys of every binding of these nodes that has an id, after any remapping."""
    keys: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes:
        for key, binding in _in_force(node):
            if binding.id is not None:
                keys[binding.id].append(key)
    return keys


def _in_force(node: DOMNode) -> BindingsMap:
    bindings = node._bindings.copy()
    if node.app._keymap:
        bindings.apply_keymap(node.app._keymap)
    return bindings


def follows_end(widget: Widget) -> bool:
    """Say whether an anchored widget is at its end and stays there when it grows."""
    return widget._anchored and not widget._anchor_released


def lay_out(widget: Widget) -> None:
    """Give every widget of the screen its place now, within a batch: nothing is painted yet.

    For what has to be known before the next frame: by how much something new moves the rest.
    """
    widget.screen._refresh_layout()


class Settled:
    """Makes a scrolling widget one whose inside is laid out once, whatever grows in it.

    What holds something larger than before asks Textual for a second layout, because it might need
    a scrollbar. One that really appears asks for it as well. Only the rows of a table need it:
    they get their heights after their widths.
    """


def _size_updated_once(
    widget: Widget, size: Size, virtual_size: Size, container_size: Size, layout: bool = True
) -> bool:
    for node in widget.ancestors_with_self if layout else ():
        if isinstance(node, (Settled, MarkdownTable)):
            layout = isinstance(node, MarkdownTable)
            break
    return _size_updated(widget, size, virtual_size, container_size, layout)


_size_updated = Widget._size_updated
Widget._size_updated = _size_updated_once  # type: ignore[assignment, method-assign]  # for all


def underline(tabs: Tabs) -> None:
    """Draw the line below the active tab anew.

    Textual does so when a label changes, and now and then before the tab has its new width.
    """
    lay_out(tabs)
    tabs._highlight_active(animate=False)


def unlaid_list() -> AbstractContextManager[None]:
    """Return what guards the paging of an OptionList that is empty or not laid out yet.

    Textual looks for a line that is not there, and the app would end.
    """
    return suppress(KeyError)


def remember_copied(app: App[int], text: str) -> None:
    """Make `text` what is pasted within the window, as Textual does when it copies."""
    app._clipboard = text


def write_to_terminal(app: App[int], sequence: str) -> None:
    """Send a control sequence to the terminal, if there is one."""
    if app._driver is not None:
        app._driver.write(sequence)


@contextmanager
def handed_over(app: App[int]) -> Iterator[None]:
    """Leave the terminal to another program for a block; meanwhile nothing is painted.

    Raises `SuspendNotSupported` where there is no terminal to leave.
    """
    failed: Exception | None = None
    with app.batch_update(), app.suspend():
        try:
            yield
        except Exception as error:  # Textual takes the terminal back only when it sees none
            failed = error
    app.refresh(layout=True)
    if failed is not None:
        raise failed


class _Writer(WriterThread):
    """Textual's writer, which goes on taking what is written when there is no terminal any more.

    Textual's own ends then, and whoever writes waits for it for ever: the whole window.
    """

    def run(self) -> None:
        """Write until the end, or until writing fails; then only take."""
        try:
            super().run()
        except OSError:
            while self._queue.get() is not None:
                pass


def outlive_terminal() -> None:
    """Make the window able to save and end when its terminal has gone."""
    linux_driver.WriterThread = _Writer  # type: ignore[attr-defined]  # where Textual takes it from


def take_any_bytes() -> None:
    """Make the window take for a � what comes from the terminal and is no UTF-8.

    Textual ends the window by it, with a traceback and as if all were well.
    """
    linux_driver.getincrementaldecoder = _forgiving  # type: ignore[assignment, attr-defined]  # as above


def _forgiving(encoding: str) -> "partial[IncrementalDecoder]":
    return partial(getincrementaldecoder(encoding), "replace")


class _Driver(linux_driver.LinuxDriver):
    """Textual's driver, which goes on well after a stop, also after one that nobody announced."""

    # On the loop, and not wherever the signal meets it: it may hold the lock of the writer's queue.

    def _sigtstp_application(self, *_: object) -> None:
        if self._auto_restart:
            self._loop.call_soon_threadsafe(super()._sigtstp_application)
        else:
            super()._sigtstp_application()

    def _sigcont_application(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._go_on)

    def _go_on(self) -> None:
        if self._must_signal_resume:
            super()._sigcont_application()
            self._app.refresh(layout=True)  # the terminal is empty
        elif self._auto_restart:
            self._begin_again()

    def _begin_again(self) -> None:
        # After SIGSTOP: only to begin would take the modes of the window for those before it, and
        # read keys in two threads.
        self.suspend_application_mode()
        self.resume_application_mode()
        self._app.refresh(layout=True)


def wear_belt() -> None:
    """Keep control characters of any content from the terminal, whatever gate they slipped by.

    Neither Textual nor Rich does. Every strip passes here right before it is written, once.
    """
    Strip.render = _render_belted  # type: ignore[assignment, method-assign]  # where all text passes


_render = Strip.render


def _render_belted(strip: Strip, console: Console) -> str:
    if strip._render_cache is None:
        written = [
            text if style is None or style._link is None else text + style._link
            for text, style, _ in strip._segments
        ]
        if not "".join(written).isprintable():  # no more than a suspicion, and cheap to have
            strip = Strip(map(_harmless, strip._segments), strip.cell_length)
    return _render(strip, console)


def _harmless(segment: Segment) -> Segment:
    text, style, control = segment
    if control:
        return segment  # a sequence of Textual's own
    if style is not None and style._link is not None:
        style = style.update_link(drop_controls(style._link))
    return Segment(drop_controls(text), style)


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


def terminal_gone(app: App[int]) -> bool:
    """Return whether the terminal of a window has hung up. Textual reads on, as fast as it can."""
    if not isinstance(app._driver, linux_driver.LinuxDriver):
        return False
    try:
        termios.tcgetattr(app._driver.fileno)
    except termios.error:
        return True
    return False


class Palette(CommandPalette):
    """Textual's command palette, safe for keys that come faster than it works."""

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Leave, once: a second key right after the first would close the window below."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

    def _action_command_list(self, action: str) -> None:
        with unlaid_list():
            super()._action_command_list(action)


_Update = LayoutUpdate | ChopsUpdate


class SentLines:
    """What was sent of each line last, so that it is not sent twice.

    With every word of an answer Textual sends all the lines of it anew.
    """

    def __init__(self) -> None:
        self._sent: dict[int, str] = {}

    def forget(self) -> None:
        """Take nothing for granted: the terminal was another program's, or has another size."""
        self._sent.clear()

    def without_repeats(self, update: _Update) -> CompositorUpdate:
        """Return the part of an update that changes anything."""
        return _Changes(update, self._sent)


class _Changes(CompositorUpdate):
    """The pieces of an update that are not the last ones sent of their lines."""

    def __init__(self, update: _Update, sent: dict[int, str]) -> None:
        self._update = update
        self._sent = sent

    def render_segments(self, console: Console) -> str:
        # Called only when the update is really sent.
        changed = []
        for y, piece in _pieces(self._update, console):
            if self._sent.get(y) != piece:
                self._sent[y] = piece
                changed.append(piece)
        return "".join(changed)


def _pieces(update: _Update, console: Console) -> Iterator[tuple[int, str]]:
    """Yield an update line by line; each piece says itself where it goes."""
    if isinstance(update, LayoutUpdate):
        left, top, _, _ = update.region
        for y, strips in enumerate(update.strips, top):
            line = "".join(strip.render(console) for strip in strips)
            yield y, f"{Control.move_to(left, y).segment.text}{line}"
    else:
        for span in update.spans:
            piece = ChopsUpdate(update.chops, [span], update.chop_ends)
            yield span[0], piece.render_segments(console)


class QuietApp(App[int]):
    """An app whose errors end it with one line, and with the traceback in the log.

    Textual would print the traceback with local variables: what users wrote, and their keys.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crash: Exception | None = None
        self._sent: SentLines | None = None
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
        self._sent = SentLines()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if self._batch_count and renderable is not None:
            screen.refresh()  # Textual drops it, and takes it for painted
            return
        if self._sent is not None and isinstance(renderable, _Update):
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
        closes = self._exit or (self._dom_ready and not self._running)
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
        return _Driver if found is linux_driver.LinuxDriver else found
