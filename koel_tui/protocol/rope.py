"""A text type with appends that do not copy the whole text."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, eq=False)
class Rope:
    """A text in pieces, each at least twice as long as the next one.

    So there are few pieces, and appends copy each character only log(n) times: n appends cost n log
    n, not n squared.
    """

    pieces: tuple[str, ...] = ()

    @classmethod
    def from_text(cls, text: str) -> "Rope":
        """Return a rope that contains `text`."""
        return cls((text,) if text else ())

    def append(self, delta: str) -> "Rope":
        """Return the rope with `delta` appended."""
        pieces = self.pieces
        while pieces and len(pieces[-1]) < 2 * len(delta):
            delta = pieces[-1] + delta
            pieces = pieces[:-1]
        return Rope((*pieces, delta))

    def __str__(self) -> str:
        return "".join(self.pieces)


class GrowingText:
    """A dataclass field that stores a text or rope and returns text; for classes without slots."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, holder: Any, owner: type | None = None) -> str:
        return "" if holder is None else str(vars(holder)[self._name])

    def __set__(self, holder: Any, value: str | Rope) -> None:
        vars(holder)[self._name] = value

    def rope(self, holder: Any) -> Rope:
        """Return the text of `holder` as a rope, without joining it."""
        value = vars(holder)[self._name]
        return value if isinstance(value, Rope) else Rope.from_text(value)
