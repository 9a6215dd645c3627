"""What can be chosen from a list, and the words it is found by. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from koel_tui.text import has_words

T = TypeVar("T")


class Choice(Protocol):
    """One line of a list."""

    @property
    def title(self) -> str:
        """What it is called."""
        ...

    @property
    def aside(self) -> str:
        """What is said of it beside that."""
        ...

    @property
    def takeable(self) -> bool:
        """Whether it can be chosen."""
        ...

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether it is meant by these words, in lower case."""
        ...


@dataclass(frozen=True, slots=True)
class SimpleChoice(Generic[T]):
    """Something to choose by its title; `text` is found by its words, too."""

    value: T
    title: str
    aside: str = ""
    text: str = ""
    takeable: bool = True

    def matches(self, words: Sequence[str]) -> bool:
        """Say whether title and text have these words in them."""
        return has_words(f"{self.title} {self.text}", words)
