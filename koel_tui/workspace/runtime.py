"""Startup of backend, model and search index after the first paint."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.conversation.activity import Activity
from koel_tui.conversation.notices import ProgramModel
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.agents import ModelInfo
    from koel_tui.conversation.backend import Backend
    from koel_tui.conversation.conversation import Conversation

_log = logging.getLogger(__name__)

_COUNT_TIMEOUT = 2.0
"""Seconds that key input waits for the token count of an attachment."""
_MAX_NOTICE = 400
"""Maximum characters of a notice about a model."""
TRASH_RETENTION = timedelta(days=30)
STILL_STARTING = "Still starting. Try again in a moment."


class Runtime:
    """The state of the backend and the model: progress text, problem, and model facts."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.status_text = "Starting…"
        self.idle_text = ""
        """The text for background activity, shown while the status line is otherwise idle."""
        self.model_name = ""
        self.context_tokens = 0
        self.advice = ""
        """Advice for the user about the loaded model; empty if there is none."""
        self.fitting_template = ""
        """The built-in chat template that fits the loaded model; empty if none does."""
        self.problem: BaseException | None = None
        self.backend: Backend | None = None
        self._shown_notices = {""}
        self._on_change = on_change
        self._loading = asyncio.Lock()

    @property
    def lacks_model(self) -> bool:
        """True if the model file is missing or unusable, so that the user must choose another."""
        if self.problem is None or self.backend is None:
            return False
        from koel_tui.engine import EngineCrashedError, ModelLoadError
        from koel_tui.models import ModelFileError, NoModelError

        lacking = (EngineCrashedError, ModelFileError, ModelLoadError, NoModelError)
        return isinstance(self.problem, lacking)

    @property
    def problem_text(self) -> str:
        """The message of the problem; empty if there is none."""
        return "" if self.problem is None else str(self.problem) or type(self.problem).__name__

    @property
    def program_model(self) -> ProgramModel:
        """The state of the program's model, for conversation notices."""
        return ProgramModel(self.problem_text, self.fitting_template)

    @property
    def alert(self) -> str:
        """The kind and the message of the problem; empty if there is none."""
        return f"{self.short_alert}: {self.problem_text}" if self.problem_text else ""

    @property
    def short_alert(self) -> str:
        """The kind of the problem; empty if there is none."""
        if not self.problem_text:
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
            self._set_status(Activity("loading").status_text)
            try:
                model = await self.backend.agent.load(self._on_progress)
            except Exception as error:
                self._fail(error)
            else:
                self._set_model(model)
                self._set_status("")

    async def switch_model(self, model: str) -> None:
        """Switch to another model.

        Raises the errors of its load, or `RuntimeError` if the agent cannot switch; then the
        previous model stays.
        """
        from koel_tui.agents import use_model

        async with self._loading:  # one load at a time, because each needs memory
            if self.backend is None:
                raise RuntimeError(STILL_STARTING)
            self._set_status(Activity("loading").status_text)
            try:
                loaded = await use_model(self.backend.agent, model, self._on_progress)
            finally:
                self._set_status("")
            if loaded is None:
                raise RuntimeError("This agent cannot switch models.")
            self.problem = None
            self._set_model(loaded)

    def _set_model(self, model: "ModelInfo") -> None:
        self.model_name, self.context_tokens = model.name, model.context_tokens
        self.advice = safe_line(model.notice, _MAX_NOTICE)
        self._shown_notices.add(model.notice)
        known = model.fitting_template in BUILT_IN_TEMPLATES
        self.fitting_template = model.fitting_template if known else ""

    def new_notice(self, conversation: "Conversation") -> str:
        """Return the notice about the model of a conversation's last answer, each notice once.

        The model of a thread is loaded by its first answer, not by `load`.
        """
        notice = conversation.metrics.last.notice
        if notice in self._shown_notices:
            return ""
        self._shown_notices.add(notice)
        return safe_line(notice, _MAX_NOTICE)

    async def count_tokens(self, text: str) -> int | None:
        """Return the number of tokens in `text`; None if it is not known in time."""
        if self.backend is None or not self.context_tokens:
            return None
        from koel_tui.agents import tokens_in

        try:
            async with asyncio.timeout(_COUNT_TIMEOUT):
                return await tokens_in(self.backend.agent, text)
        except Exception as error:  # the caller falls back to an estimate
            _log.info("Tokens cannot be counted: %r", error)
            return None

    def start_indexing(self) -> None:
        """Start to update the search index in the background."""
        if self.backend is not None and self.backend.index_updater is not None:
            self.backend.index_updater.start(self._on_indexed)

    async def empty_trash(self) -> None:
        """Delete old threads from the trash permanently; an error is retried at the next start."""
        if self.backend is None:
            return
        try:
            removed = await self.backend.storage.empty_trash(TRASH_RETENTION)
        except Exception as error:  # no caller awaits it
            _log.warning("The trash was not emptied: %s", error)
        else:
            _log.info("%d threads left the trash for good", removed)

    def enable_titles(self, enabled: bool) -> None:
        """Set whether the model generates titles for new threads."""
        if self.backend is not None:
            self.backend = replace(self.backend, titles=enabled)

    def clear_problem(self) -> None:
        """Clear the problem, because the model answers again."""
        self.problem = None

    def _on_progress(self, fraction: float) -> None:
        self._set_status(Activity("loading", fraction=fraction).status_text)

    def _on_indexed(self, done: int, total: int) -> None:
        self.idle_text = "" if done == total else f"indexing {done} of {total} threads"
        self._on_change()

    def _fail(self, error: BaseException) -> None:
        self.problem = error
        self._set_status("")

    def _set_status(self, text: str) -> None:
        self.status_text = text
        self._on_change()
