"""The items of a picker list, and how they match search words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from koel_tui.text import has_words

T = TypeVar("T")


class Choice(Protocol):
    """One item of a picker list."""

    @property
    def title(self) -> str:
        """The title of the item."""
        ...

    @property
    def detail(self) -> str:
        """The secondary text, shown at the right."""
        ...

    @property
    def enabled(self) -> bool:
        """True if the item can be chosen."""
        ...

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether the item matches these words, as `search_words` returns them."""
        ...


@dataclass(frozen=True, slots=True)
class SimpleChoice(Generic[T]):
    """An item with a value and a title; its `text` is searched too."""

    value: T
    title: str
    detail: str = ""
    text: str = ""
    enabled: bool = True

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether title and text contain all these words."""
        return has_words(f"{self.title} {self.text}", words)
