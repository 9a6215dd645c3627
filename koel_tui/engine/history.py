"""The history of an engine session, and its newest part that may fit the context."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import is_

from koel_tui.engine.errors import EngineError
from koel_tui.engine.types import ChatMessage

MAX_CHARACTERS_PER_TOKEN = 32
"""The most characters per token in a text as long as a context; words have about four."""


@dataclass(frozen=True, slots=True)
class RecentMessages:
    """The system messages and the newest turns of a conversation.

    `omitted_turns` is the number of turns left out between them, `omitted_size` the number of
    characters in those turns.
    """

    messages: tuple[ChatMessage, ...]
    omitted_turns: int = 0
    omitted_size: int = 0


class History:
    """The messages of one conversation; the size of each text is measured only once."""

    def __init__(self, messages: Iterable[ChatMessage] = ()) -> None:
        self._messages: list[ChatMessage] = []
        self._ends: list[int] = []  # the number of characters up to the end of each message
        self._questions: list[int] = []  # the indices of the user messages
        self.extend(messages)

    @property
    def messages(self) -> tuple[ChatMessage, ...]:
        """All messages, oldest first."""
        return tuple(self._messages)

    @property
    def all(self) -> RecentMessages:
        """All messages, nothing left out."""
        return RecentMessages(self.messages)

    @property
    def last(self) -> ChatMessage | None:
        """The newest message, None if there is none."""
        return self._messages[-1] if self._messages else None

    def extend(self, messages: Iterable[ChatMessage]) -> None:
        """Add messages at the end. Raises `EngineError` for values that are not messages."""
        messages = tuple(messages)
        _check_types(messages)
        end = self._ends[-1] if self._ends else 0
        for message in messages:
            if message.role == "user":
                self._questions.append(len(self._messages))
            end += len(message.content)
            self._messages.append(message)
            self._ends.append(end)

    def replace(self, messages: Sequence[ChatMessage]) -> None:
        """Replace all messages; the first ones are not measured again if they are the same objects.

        Raises `EngineError` for values that are not messages.
        """
        same = sum(1 for _ in takewhile(bool, map(is_, self._messages, messages)))
        _check_types(messages[same:])
        self._cut(same)
        self.extend(messages[same:])

    def pop(self) -> ChatMessage:
        """Remove and return the newest message. Raises IndexError if there is none."""
        message = self._messages[-1]
        self._cut(len(self._messages) - 1)
        return message

    def recent(self, context_tokens: int) -> RecentMessages:
        """Return the system messages, and the other messages that may fit a context.

        If some are left out, the rest begins with a user message. The time depends on the size of
        the context, not on the length of the history.
        """
        head = sum(1 for _ in takewhile(lambda each: each.role == "system", self._messages))
        most = MAX_CHARACTERS_PER_TOKEN * context_tokens
        # The first message after which the texts may fit the context.
        oldest = bisect_left(self._ends, self._ends[-1] - most) if self._ends else 0
        position = bisect_right(self._questions, oldest) - 1
        begin = self._questions[position] if position >= 0 else 0
        if begin <= head:
            return self.all
        turns = bisect_left(self._questions, begin) - bisect_right(self._questions, head) + 1
        omitted_size = self._ends[begin - 1] - (self._ends[head - 1] if head else 0)
        kept = (*self._messages[:head], *self._messages[begin:])
        return RecentMessages(kept, turns, omitted_size)

    def _cut(self, count: int) -> None:
        del self._messages[count:], self._ends[count:]
        del self._questions[bisect_left(self._questions, count) :]


def _check_types(messages: Iterable[object]) -> None:
    for message in messages:
        if not isinstance(message, ChatMessage):
            raise EngineError(
                f"A message is a {type(message).__name__}. Pass objects of ChatMessage."
            )
        if not isinstance(message.content, str):
            raise EngineError(
                f"The content of a message is a {type(message.content).__name__}. Pass a str."
            )
