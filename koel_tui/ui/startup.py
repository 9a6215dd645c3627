"""From the first paint to a loaded model and a search that knows all threads."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from koel_tui.chat_templates import BUILT_IN
from koel_tui.text import safe_line
from koel_tui.ui.activity import Activity
from koel_tui.ui.fetching import Fetching

if TYPE_CHECKING:
    from koel_tui.agents import ModelInfo
    from koel_tui.ui.backend import Backend

_log = logging.getLogger(__name__)

_COUNT_PATIENCE = 2.0
"""Seconds that the keys wait for the model to count what is attached."""
KEPT_IN_TRASH = timedelta(days=30)


class Startup:
    """What the start has come to: words for the status line, and the problem that ended it."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.words = "Starting…"
        self.aside = ""
        """What goes on beside everything else, to be said when there is nothing else to say."""
        self.model = ""
        self.window = 0
        self.advice = ""
        """What the user should know about the loaded model; empty when there is nothing."""
        self.fitting_template = ""
        """The built-in chat template that fits the loaded model; empty when none does."""
        self.problem: BaseException | None = None
        self.backend: Backend | None = None
        self.fetch = Fetching(changed)
        """The download of a model, if one goes on."""
        self._changed = changed
        self._loading = asyncio.Lock()

    @property
    def fetching(self) -> str:
        """What to say of a download while it goes on."""
        return self.fetch.progress.words

    @property
    def lacks_model(self) -> bool:
        """Whether there is no model file that can be used, so that another has to be chosen."""
        if self.problem is None or self.backend is None:
            return False
        from koel_tui.engine import EngineCrashedError, ModelLoadError
        from koel_tui.models import ModelFileError, NoModelError

        lacking = (EngineCrashedError, ModelFileError, ModelLoadError, NoModelError)
        return isinstance(self.problem, lacking)

    @property
    def notice(self) -> str:
        """The problem in its own words; empty when there is none."""
        return "" if self.problem is None else str(self.problem) or type(self.problem).__name__

    @property
    def alarm(self) -> str:
        """The problem in a few words more; empty when there is none."""
        what = "Cannot start" if self.backend is None else "No model"
        if not self.notice:
            return ""
        # A download under way needs the room more than the words for what it will set right.
        return what if self.fetching else f"{what}: {self.notice}"

    async def connect(self, connect: "Callable[[], Backend]") -> "Backend | None":
        """Call `connect` beside the window, because the imports it makes take their time."""
        try:
            self.backend = await asyncio.to_thread(connect)
        except Exception as error:  # whatever it is, the window says it and stays
            self._fail(error)
        return self.backend

    async def load(self) -> None:
        """Load the model, telling how far it is."""
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
        """Load another model, which answers from then on.

        Raises what its load raises, or RuntimeError where there is no choice; then the one before
        stays.
        """
        from koel_tui.agents import use_model

        async with self._loading:  # one after the other: each takes its memory
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
        """Return how many tokens the model makes of `text`; None where it cannot tell in time."""
        if self.backend is None or not self.window:
            return None
        from koel_tui.agents import tokens_in

        try:
            async with asyncio.timeout(_COUNT_PATIENCE):
                return await tokens_in(self.backend.agent, text)
        except Exception as error:  # an estimate does as well
            _log.info("Tokens cannot be counted: %r", error)
            return None

    def index(self) -> None:
        """Begin to keep the search index up to date, which nothing waits for."""
        if self.backend is not None and self.backend.upkeep is not None:
            self.backend.upkeep.begin(self._indexed)

    async def empty_trash(self) -> None:
        """Remove for good what was thrown away long ago; it is tried again at the next start."""
        if self.backend is None:
            return
        try:
            gone = await self.backend.storage.empty_trash(KEPT_IN_TRASH)
        except Exception as error:  # nobody waits for it
            _log.warning("The trash was not emptied: %s", error)
        else:
            _log.info("%d threads left the trash for good", gone)

    def recover(self) -> None:
        """Take note that the model answers, whatever went wrong before."""
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
