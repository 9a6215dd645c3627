"""Text that grows at its end without being copied each time."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Rope:
    """Text in pieces, each at least twice as long as the next one.

    So there are few, and an append copies each character only log(n) times: n appends cost
    n log n, not n squared.
    """

    pieces: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> "Rope":
        """Return the rope that says `text`."""
        return cls((text,) if text else ())

    def append(self, delta: str) -> "Rope":
        """Return the rope with `delta` at its end."""
        pieces = self.pieces
        while pieces and len(pieces[-1]) < 2 * len(delta):
            delta = pieces[-1] + delta
            pieces = pieces[:-1]
        return Rope((*pieces, delta))

    def __str__(self) -> str:
        return "".join(self.pieces)


class GrowingText:
    """A dataclass field for a text or a rope that reads as a text; needs a class without slots."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, holder: Any, owner: type | None = None) -> str:
        return "" if holder is None else str(vars(holder)[self._name])

    def __set__(self, holder: Any, value: str | Rope) -> None:
        vars(holder)[self._name] = value

    def rope(self, holder: Any) -> Rope:
        """Return the text of `holder` as a rope, without joining it."""
        value = vars(holder)[self._name]
        return value if isinstance(value, Rope) else Rope.of(value)
