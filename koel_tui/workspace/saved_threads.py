"""The saved threads as a list to choose from, and the one a user names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from koel_tui.text import has_words

if TYPE_CHECKING:
    from koel_tui.storage import Conflict, DamagedThread, SessionStorage, Summary


@dataclass(frozen=True, slots=True)
class SavedThread:
    """A thread in storage; one that cannot be read has a damage and cannot be opened."""

    id: str
    title: str
    when: str = ""
    messages: int = 0
    damage: str = ""
    mark: str = ""
    """Where it is open, if anywhere."""
    at: str = ""
    """The message it is to be opened at; empty for the place where it was left."""

    @property
    def aside(self) -> str:
        """What is said of the thread beside its title."""
        if self.damage:
            return f"damaged: {self.damage}"
        size = f"{self.messages} message{'' if self.messages == 1 else 's'}"
        return " · ".join(filter(None, (self.mark, size, self.when)))

    @property
    def brief(self) -> str:
        """The same in fewer words: where it is open, and the day."""
        return self.aside if self.damage else " · ".join(filter(None, (self.mark, self.when[:10])))

    @property
    def takeable(self) -> bool:
        """Whether it can be opened."""
        return not self.damage

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether the title has every one of these words in it, in any case."""
        return has_words(self.title, words)


def listed(summaries: "Iterable[Summary]") -> list[SavedThread]:
    """Return threads of a storage as they are listed."""
    return [
        SavedThread(
            id=summary.id,
            title=summary.title or summary.preview,
            when=summary.updated.astimezone().strftime("%Y-%m-%d %H:%M"),
            messages=summary.messages,
        )
        for summary in summaries
    ]


async def saved_threads(storage: "SessionStorage") -> list[SavedThread]:
    """Return what is saved, newest first, and behind it what cannot be read."""
    threads = listed(await storage.summaries())
    # Only a storage made of files has files that can be damaged.
    damaged: Sequence[DamagedThread] = getattr(storage, "damaged", ())
    return threads + [SavedThread("", file.path.name, damage=file.reason) for file in damaged]


def find_thread(threads: Sequence[SavedThread], wanted: str) -> SavedThread | str:
    """Return the thread with this id, beginning of an id, or title; else why there is none."""
    readable = [thread for thread in threads if not thread.damage]
    for found in (
        [thread for thread in readable if thread.id == wanted],
        [thread for thread in readable if thread.id.startswith(wanted)] if wanted else [],
        [thread for thread in readable if thread.title == wanted],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            return f"{len(found)} saved threads fit {wanted!r}."
    return f"No saved thread is called {wanted!r}."


def told_of_conflicts(storage: "SessionStorage", told: int) -> list[str]:
    """Return a sentence for each thread found changed elsewhere, without the first `told`."""
    # Only a storage made of files can find one changed by somebody else.
    found: Sequence[Conflict] = getattr(storage, "conflicts", ())
    return [
        "A thread was changed elsewhere. What is written here is saved beside it, in "
        f"{conflict.path}"
        for conflict in found[told:]
    ]
