"""Which tabs are open, in which order, which one is in front, and which have news."""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TabOrder(Generic[Item]):
    """The open tabs as plain data: no widget, no session. There is always a tab in front."""

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
        """The tab in front."""
        return self._active

    @property
    def beside(self) -> Item | None:
        """The tab that is shown beside the one in front; None for one shown alone."""
        if self._pair is None or self._active not in self._pair:
            return None
        first, second = self._pair
        return second if self._active is first else first

    def join(self, item: Item) -> None:
        """Show an open tab beside the one in front, whenever one of the two is in front."""
        self._pair = (self._active, item)
        if item in self._unread:
            self._unread.remove(item)

    def part(self) -> None:
        """Show every tab alone."""
        self._pair = None

    def add(self, item: Item) -> None:
        """Open a tab at the end and bring it to the front."""
        self._items.append(item)
        self._active = item

    def activate(self, item: Item) -> bool:
        """Bring an open tab to the front; say whether that changed anything."""
        if item is self._active or item not in self._items:
            return False
        self._active = item
        if item in self._unread:
            self._unread.remove(item)
        return True

    def number(self, item: Item) -> int:
        """Return the place of an open tab, counted from 1."""
        return self._items.index(item) + 1

    def at(self, number: int) -> Item | None:
        """Return the tab at a place counted from 1, or None where there is none."""
        return self._items[number - 1] if 1 <= number <= len(self._items) else None

    def step(self, distance: int) -> Item:
        """Return the tab so many places to the right of the one in front, going round."""
        return self._items[(self._items.index(self._active) + distance) % len(self._items)]

    def move(self, distance: int) -> None:
        """Move the tab in front so many places to the right, as far as there are places."""
        index = self._items.index(self._active)
        self._items.remove(self._active)
        self._items.insert(max(0, index + distance), self._active)

    def remove(self, item: Item) -> None:
        """Take out a tab; the one to its right, else to its left, comes to the front.

        The last tab cannot be taken out: add its successor first.
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
            self.part()

    def mark_unread(self, item: Item) -> None:
        """Note that something ended in a tab; nothing to note for those being looked at."""
        if (
            item not in (self._active, self.beside)
            and item in self._items
            and item not in self._unread
        ):
            self._unread.append(item)

    def is_unread(self, item: Item) -> bool:
        """Say whether something ended in this tab since it was last in front."""
        return item in self._unread
