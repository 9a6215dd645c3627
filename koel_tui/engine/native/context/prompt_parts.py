"""The parts of a prompt: text tokens and media, each with its place in the context.

A text token takes one position. A part of media takes several tokens, and often fewer positions:
some models give all tokens of an image the same position in time. So a position is not a count of
tokens, and a number of parts is neither.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MediaPart:
    """An image or a sound in a prompt: the identifier of its content, its tokens and positions."""

    id: str
    tokens: int
    positions: int


Part = int | MediaPart
"""A text token, or a part of media."""


class PromptParts:
    """The parts that a sequence of the context holds, in order.

    Positions and tokens are counted from the media only, so they cost nothing in a text.
    """

    def __init__(self, parts: Iterable[Part] = ()) -> None:
        self._parts: list[Part] = []
        self._media: list[int] = []  # the indexes of the media
        self.extend(parts)

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._parts)

    def __iter__(self) -> Iterator[Part]:
        return iter(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PromptParts) and self._parts == other._parts

    __hash__ = None  # type: ignore[assignment]  # the parts change

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return len(self._parts) + sum(self._medium(index).tokens - 1 for index in self._media)

    @property
    def positions(self) -> int:
        """The number of positions, which is the position of the next part."""
        return self.position(len(self._parts))

    def position(self, count: int) -> int:
        """Return the number of positions of the first `count` parts."""
        before = (index for index in self._media if index < count)
        return count + sum(self._medium(index).positions - 1 for index in before)

    def extend(self, parts: Iterable[Part]) -> None:
        """Append parts."""
        begin = len(self._parts)
        self._parts.extend(parts)
        for index in range(begin, len(self._parts)):
            if isinstance(self._parts[index], MediaPart):
                self._media.append(index)

    def truncate(self, count: int) -> None:
        """Drop all but the first `count` parts."""
        del self._parts[count:]
        while self._media and self._media[-1] >= count:
            self._media.pop()

    def clear(self) -> None:
        """Drop all parts."""
        self.truncate(0)

    def copy(self) -> "PromptParts":
        """Return the same parts as another object."""
        copied = PromptParts()
        copied._parts, copied._media = self._parts.copy(), self._media.copy()
        return copied

    def common_prefix(self, prompt: Sequence[Part]) -> int:
        """Return the number of equal parts at the start of these parts and of a prompt."""
        return common_prefix(self._parts, prompt)

    def _medium(self, index: int) -> MediaPart:
        part = self._parts[index]
        assert isinstance(part, MediaPart)  # noqa: S101 - `_media` has the indexes of media only
        return part


def common_prefix(first: Sequence[Part], second: Sequence[Part]) -> int:
    """Return the number of equal parts at the start of both sequences."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    return next(index for index in range(shorter) if first[index] != second[index])
