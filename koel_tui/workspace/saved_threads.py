"""The list of saved threads, and lookup of a thread by id or title."""

from asyncio import to_thread
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from koel_tui.text import match_key, safe_line

if TYPE_CHECKING:
    from koel_tui.storage import Conflict, DamagedThread, SessionStorage, Summary


_MANY = 500
"""The number of threads from which on their rows are prepared outside the event loop."""


@dataclass(frozen=True, slots=True)
class SavedThread:
    """A thread in storage; an unreadable one has a `damage` and cannot be opened."""

    id: str
    title: str
    when: str = ""
    messages: int = 0
    damage: str = ""
    open_state: str = ""
    """The state "open" or "open elsewhere"; empty if the thread is closed."""
    message_id: str = ""
    """The id of the message to scroll to; empty for the last scroll position."""
    _key: str | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def detail(self) -> str:
        """The secondary text of the list line: damage, or open state, size and date."""
        if self.damage:
            return f"damaged: {self.damage}"
        size = f"{self.messages} message{'' if self.messages == 1 else 's'}"
        return " · ".join(filter(None, (self.open_state, size, self.when)))

    @property
    def short_detail(self) -> str:
        """The short secondary text: damage, or open state and day."""
        if self.damage:
            return self.detail
        return " · ".join(filter(None, (self.open_state, self.when[:10])))

    @property
    def enabled(self) -> bool:
        """True if the thread can be opened."""
        return not self.damage

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the title contains all these search words, ignoring case."""
        return not words or all(word in self.key for word in words)

    @property
    def key(self) -> str:
        """The title for comparisons; computed once, because a list is filtered at every key."""
        return self._key if self._key is not None else self.prepare()

    def prepare(self) -> str:
        """Compute the key and return it."""
        key = match_key(self.title)
        object.__setattr__(self, "_key", key)
        return key


def to_rows(summaries: "Iterable[Summary]") -> list[SavedThread]:
    """Convert summaries to list items."""
    return [
        SavedThread(
            id=summary.id,
            title=summary.title or summary.preview,
            when=summary.updated.astimezone().strftime("%Y-%m-%d %H:%M"),
            messages=summary.messages,
        )
        for summary in summaries
    ]


def _prepared_rows(summaries: "Iterable[Summary]") -> list[SavedThread]:
    """Return list items of which the keys are computed already."""
    threads = to_rows(summaries)
    for thread in threads:
        thread.prepare()
    return threads


async def saved_threads(storage: "SessionStorage") -> list[SavedThread]:
    """Return the saved threads, newest first, followed by the unreadable files."""
    summaries = await storage.summaries()
    # Many rows take longer than a key may wait.
    is_many = len(summaries) > _MANY
    threads = await to_thread(_prepared_rows, summaries) if is_many else to_rows(summaries)
    # Only a file storage has damaged files.
    damaged: Sequence[DamagedThread] = getattr(storage, "damaged", ())
    return threads + [SavedThread("", file.path.name, damage=file.reason) for file in damaged]


def find_thread(threads: Sequence[SavedThread], query: str) -> SavedThread | str:
    """Return the thread with this id, unique id prefix, or title; else the reason as text.

    A title matches in any Unicode form and case if no title is equal, also as it is shown.
    """
    key = match_key(query)
    readable = [thread for thread in threads if not thread.damage]
    # Each is evaluated only if the ones before it find nothing.
    for matches in (
        [thread for thread in readable if is_wanted(thread)]
        for is_wanted in (
            lambda thread: thread.id == query,
            lambda thread: query != "" and thread.id.startswith(query),
            lambda thread: thread.title == query,
            lambda thread: thread.key == key != "",
            lambda thread: match_key(safe_line(thread.title)) == key != "",
        )
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            return f"{len(matches)} saved threads match {query!r}."
    return f"No saved thread is called {query!r}."


def conflict_messages(storage: "SessionStorage", reported: int) -> list[str]:
    """Return a message for each conflict with another program, without the first `reported`."""
    # Only a file storage detects conflicts.
    conflicts: Sequence[Conflict] = getattr(storage, "conflicts", ())
    return [
        f"A thread was changed by another program. Your version is saved in {conflict.path}"
        for conflict in conflicts[reported:]
    ]
