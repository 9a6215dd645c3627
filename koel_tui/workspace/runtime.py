"""Startup of backend, model and search index after the first paint."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from koel_tui.chat_templates import BUILT_IN
from koel_tui.conversation.activity import Activity
from koel_tui.conversation.notices import ProgramModel
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.agents import ModelInfo
    from koel_tui.conversation.backend import Backend

_log = logging.getLogger(__name__)

_COUNT_PATIENCE = 2.0
"""Seconds that key input waits for the token count of an attachment."""
KEPT_IN_TRASH = timedelta(days=30)


class Runtime:
    """The state of the backend and the model: progress text, problem, and model facts."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.words = "Starting…"
        self.aside = ""
        """The text for background activity, shown while the status line is otherwise idle."""
        self.model = ""
        self.window = 0
        self.advice = ""
        """Advice for the user about the loaded model; empty if there is none."""
        self.fitting_template = ""
        """The built-in chat template that fits the loaded model; empty if none does."""
        self.problem: BaseException | None = None
        self.backend: Backend | None = None
        self._changed = changed
        self._loading = asyncio.Lock()

    @property
    def lacks_model(self) -> bool:
        """Whether the model file is missing or unusable, so that the user must choose another."""
        if self.problem is None or self.backend is None:
            return False
        from koel_tui.engine import EngineCrashedError, ModelLoadError
        from koel_tui.models import ModelFileError, NoModelError

        lacking = (EngineCrashedError, ModelFileError, ModelLoadError, NoModelError)
        return isinstance(self.problem, lacking)

    @property
    def notice(self) -> str:
        """The message of the problem; empty if there is none."""
        return "" if self.problem is None else str(self.problem) or type(self.problem).__name__

    @property
    def program_model(self) -> ProgramModel:
        """The state of the program's model, for conversation notices."""
        return ProgramModel(self.notice, self.fitting_template)

    @property
    def alarm(self) -> str:
        """The kind and the message of the problem; empty if there is none."""
        return f"{self.short_alarm}: {self.notice}" if self.notice else ""

    @property
    def short_alarm(self) -> str:
        """The kind of the problem; empty if there is none."""
        if not self.notice:
            return ""
        return "Cannot start" if self.backend is None else "No model"

    async def connect(self, connect: "Callable[[], Backend]") -> "Backend | None":
        """Call `connect` in a worker thread, because its imports are slow."""
        try:
            self.backend = await asyncio.to_thread(connect)
        except Exception as error:  # the app shows any error and keeps running
            self._fail(error)
        return self.backend

    async def load(self) -> None:
        """Load the model and report its progress."""
        if self.backend is None:
            return
        async with self._loading:
            self._say(Activity("loading").words)
            try:
                model = await self.backend.agent.load(self._progress)
            except Exception as error:
                self._fail(error)
            else:
                self._loaded(model)
                self._say("")

    async def use(self, model: str) -> None:
        """Switch to another model.

        Raises the errors of its load, or `RuntimeError` if the agent cannot switch; then the
        previous model stays.
        """
        from koel_tui.agents import use_model

        async with self._loading:  # one load at a time, because each needs memory
            if self.backend is None:
                raise RuntimeError("A model can be chosen as soon as the start is over.")
            self._say(Activity("loading").words)
            try:
                loaded = await use_model(self.backend.agent, model, self._progress)
            finally:
                self._say("")
            if loaded is None:
                raise RuntimeError("What answers here has a model of its own, and no other.")
            self.problem = None
            self._loaded(loaded)

    def _loaded(self, model: "ModelInfo") -> None:
        self.model, self.window = model.name, model.context_tokens
        self.advice = safe_line(model.notice, 400)
        known = model.fitting_template in BUILT_IN
        self.fitting_template = model.fitting_template if known else ""

    async def count_tokens(self, text: str) -> int | None:
        """Return the number of tokens in `text`; None if it is not known in time."""
        if self.backend is None or not self.window:
            return None
        from koel_tui.agents import tokens_in

        try:
            async with asyncio.timeout(_COUNT_PATIENCE):
                return await tokens_in(self.backend.agent, text)
        except Exception as error:  # the caller falls back to an estimate
            _log.info("Tokens cannot be counted: %r", error)
            return None

    def index(self) -> None:
        """Start to update the search index in the background."""
        if self.backend is not None and self.backend.upkeep is not None:
            self.backend.upkeep.begin(self._indexed)

    async def empty_trash(self) -> None:
        """Delete old threads from the trash permanently; an error is retried at the next start."""
        if self.backend is None:
            return
        try:
            gone = await self.backend.storage.empty_trash(KEPT_IN_TRASH)
        except Exception as error:  # no caller awaits it
            _log.warning("The trash was not emptied: %s", error)
        else:
            _log.info("%d threads left the trash for good", gone)

    def make_titles(self, wanted: bool) -> None:
        """Set whether the model generates titles for new threads."""
        if self.backend is not None:
            self.backend = replace(self.backend, titles=wanted)

    def recover(self) -> None:
        """Clear the problem, because the model answers again."""
        self.problem = None

    def _progress(self, fraction: float) -> None:
        self._say(Activity("loading", fraction=fraction).words)

    def _indexed(self, done: int, total: int) -> None:
        self.aside = "" if done == total else f"indexing {done} of {total} threads"
        self._changed()

    def _fail(self, error: BaseException) -> None:
        self.problem = error
        self._say("")

    def _say(self, words: str) -> None:
        self.words = words
        self._changed()
