"""What was sent before, to walk through it from the prompt."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class PromptHistory:
    """Prompts sent, oldest first, and where in them the user is."""

    texts: list[str] = field(default_factory=list)
    _index: int | None = None
    _draft: str = ""

    def add(self, text: str) -> bool:
        """Remember a prompt; say whether it is new: the same one twice in a row counts once."""
        self._index = None
        new = self.texts[-1:] != [text]
        if new:
            self.texts.append(text)
        return new

    def begin_with(self, texts: Iterable[str]) -> None:
        """Put what was sent in earlier windows before everything else."""
        earlier = list(texts)
        self.texts[:0] = earlier
        if self._index is not None:
            self._index += len(earlier)

    def step(self, distance: int, current: str) -> str | None:
        """Return the prompt so many steps later (earlier when negative); None at either end.

        Past the newest is what the user was typing when the walk began.
        """
        here = len(self.texts) if self._index is None else self._index
        there = here + distance
        past_newest = there == len(self.texts)
        if not 0 <= there <= len(self.texts) or not self.texts:
            return None
        if self._index is None:
            self._draft = current
        elif current != self.texts[self._index]:
            self._put(current)  # words were added to it on the way, and are found again
        if past_newest:
            self._index = None
            return self._draft
        self._index = there
        return self.texts[there]

    def leave(self) -> None:
        """Forget the place: the next walk begins at the newest, which is what was left unsent."""
        if self._index is not None:
            self._put(self._draft)
        self._index = None

    def _put(self, text: str) -> None:
        if text.strip() and text not in self.texts:
            self.texts.append(text)
