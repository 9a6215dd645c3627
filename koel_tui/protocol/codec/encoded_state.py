"""The JSON of successive states of one thread, and the difference between two of them."""

from dataclasses import dataclass
from typing import Self

from koel_tui.protocol.codec.state_codec import STATE_START, encode_message, encode_rest
from koel_tui.protocol.state import ChatState, Message


@dataclass(frozen=True, slots=True)
class TextChange:
    """The replacement of `removed` characters at `offset` of a text by `text`."""

    offset: int
    removed: int
    text: str


@dataclass(frozen=True, slots=True)
class EncodedState:
    """The JSON of a state, as `encode_state` returns it: one text per message, and the rest."""

    messages: tuple[Message, ...]
    texts: tuple[str, ...]
    rest: str

    @classmethod
    def of(cls, state: ChatState, previous: "EncodedState | None" = None) -> Self:
        """Encode a state, with the errors of `encode_state`.

        The texts of the messages that are the same in `previous` are used again, because most of
        a long thread is the same at every save.
        """
        known = () if previous is None else previous.texts
        same = 0 if previous is None else _count_same(previous.messages, state.messages)
        texts = (*known[:same], *map(encode_message, state.messages[same:]))
        return cls(state.messages, texts, encode_rest(state))

    def to_bytes(self) -> bytes:
        """Return the JSON in ASCII."""
        return f"{STATE_START}{','.join(self.texts)}{self.rest}".encode("ascii")

    def change_from(self, previous: "EncodedState") -> TextChange:
        """Return the change that makes this JSON of the previous one."""
        same = _count_same(previous.texts, self.texts)
        before, after = previous._text_from(same), self._text_from(same)
        offset = len(STATE_START) + sum(map(len, self.texts[:same])) + max(same - 1, 0)
        begin = _common_length(before, after)
        end = _common_length(before[begin:][::-1], after[begin:][::-1])
        return TextChange(
            offset + begin, len(before) - begin - end, after[begin : len(after) - end]
        )

    def _text_from(self, number: int) -> str:
        """Return the JSON from the end of the message before `number`."""
        comma = "," if 0 < number < len(self.texts) else ""
        return f"{comma}{','.join(self.texts[number:])}{self.rest}"


def _count_same(one: tuple[object, ...], other: tuple[object, ...]) -> int:
    """Return the number of objects at the start that are the same, by identity."""
    pairs = zip(one, other, strict=False)
    return next(
        (number for number, (a, b) in enumerate(pairs) if a is not b), min(len(one), len(other))
    )


def _common_length(one: str, other: str) -> int:
    """Return the length of the longest common start of two texts."""
    least, most = 0, min(len(one), len(other))
    while least < most:  # comparing slices is faster than comparing characters one by one
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
