"""The history of sent prompts, for navigation from the prompt."""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class PromptHistory:
    """The sent prompts, oldest first, and the cursor of the user."""

    texts: list[str] = field(default_factory=list)
    _index: int | None = None
    _draft: str = ""

    def add(self, text: str) -> bool:
        """Add a prompt unless it equals the last one; return whether it was added."""
        self._index = None
        new = self.texts[-1:] != [text]
        if new:
            self.texts.append(text)
        return new

    def prepend(self, texts: Iterable[str]) -> None:
        """Prepend prompts of earlier sessions, oldest first."""
        earlier = list(texts)
        self.texts[:0] = earlier
        if self._index is not None:
            self._index += len(earlier)

    def move(self, distance: int, current: str) -> str | None:
        """Move the cursor by `distance` (negative: back) and return the prompt; None past an end.

        After the newest prompt comes the draft from before the navigation.
        """
        index = len(self.texts) if self._index is None else self._index
        target = index + distance
        past_newest = target == len(self.texts)
        if not 0 <= target <= len(self.texts) or not self.texts:
            return None
        if self._index is None:
            self._draft = current
        elif current != self.texts[self._index]:
            self._add_unique(current)  # the user edited this entry: keep the edited text
        if past_newest:
            self._index = None
            return self._draft
        self._index = target
        return self.texts[target]

    def reset(self) -> None:
        """Reset the cursor and add the unsent draft as the newest entry."""
        if self._index is not None:
            self._add_unique(self._draft)
        self._index = None

    def _add_unique(self, text: str) -> None:
        if text.strip() and text not in self.texts:
            self.texts.append(text)
