"""The open tabs: their order, the active one, the side by side pair, and unread marks."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TabOrder(Generic[Item]):
    """The open tabs as plain data, without widgets or sessions. One tab is always active."""

    def __init__(self, first: Item) -> None:
        self._items = [first]
        self._active = first
        self._unread: list[Item] = []
        self._pair: tuple[Item, Item] | None = None

    def __iter__(self) -> Iterator[Item]:
        return iter(tuple(self._items))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def active(self) -> Item:
        """The active tab."""
        return self._active

    @property
    def paired(self) -> Item | None:
        """The tab shown side by side with the active one; None if it is shown alone."""
        if self._pair is None or self._active not in self._pair:
            return None
        first, second = self._pair
        return second if self._active is first else first

    def pair_with(self, item: Item) -> None:
        """Pair an open tab with the active one: both show side by side when either is active."""
        self._pair = (self._active, item)
        if item in self._unread:
            self._unread.remove(item)

    def unpair(self) -> None:
        """Dissolve the pair, so that every tab is shown alone."""
        self._pair = None

    def add(self, item: Item) -> None:
        """Append a tab and activate it."""
        self._items.append(item)
        self._active = item

    def activate(self, item: Item) -> bool:
        """Activate an open tab; return whether that changed anything."""
        if item is self._active or item not in self._items:
            return False
        self._active = item
        if item in self._unread:
            self._unread.remove(item)
        return True

    def number(self, item: Item) -> int:
        """Return the position of an open tab, counted from 1."""
        return self._items.index(item) + 1

    def at(self, number: int) -> Item | None:
        """Return the tab at a position, counted from 1, or None."""
        return self._items[number - 1] if 1 <= number <= len(self._items) else None

    def step(self, distance: int) -> Item:
        """Return the tab `distance` positions right of the active one, with wraparound."""
        return self._items[(self._items.index(self._active) + distance) % len(self._items)]

    def move(self, distance: int) -> None:
        """Move the active tab `distance` positions to the right, at most to an end."""
        index = self._items.index(self._active)
        self._items.remove(self._active)
        self._items.insert(max(0, index + distance), self._active)

    def remove(self, item: Item) -> None:
        """Remove a tab; if it is active, activate its right neighbour, else its left one.

        Raises `ValueError` for the only tab: add its successor first.
        """
        if len(self._items) == 1:
            raise ValueError("the last tab stays")
        index = self._items.index(item)
        if item is self._active:
            self.activate(self._items[index + 1] if index + 1 < len(self) else self._items[-2])
        self._items.remove(item)
        if item in self._unread:
            self._unread.remove(item)
        if self._pair is not None and item in self._pair:
            self.unpair()

    def mark_unread(self, item: Item) -> None:
        """Mark a tab as unread after a run has ended, unless the tab is visible."""
        if (
            item not in (self._active, self.paired)
            and item in self._items
            and item not in self._unread
        ):
            self._unread.append(item)

    def is_unread(self, item: Item) -> bool:
        """Return whether a run has ended in this tab since it was last active."""
        return item in self._unread
