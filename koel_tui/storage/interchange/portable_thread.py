"""Threads outside of a storage, for import and export, and import errors."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from koel_tui.protocol import ChatState, Message
from koel_tui.protocol.codec.state_codec import decode_time, encode_time
from koel_tui.storage.errors import NotAThreadError
from koel_tui.text import repair

_MAX_DEPTH = 100


class ImportProblem(Exception):  # noqa: N818 - the file's, not ours
    """A file or thread cannot be imported; the message names it, the reason and the remedy."""

    def __init__(self, where: object, reason: object, advice: str) -> None:
        super().__init__(f"{where} cannot be imported: {reason}. {advice}")


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread outside of any storage; `id` may be empty, `meta` is a storage's metadata.

    `is_foreign` is whether another program wrote it, so that only its exports have new messages.
    """

    id: str
    state: ChatState
    meta: Mapping[str, Any] = field(default_factory=dict)
    is_foreign: bool = False

    @property
    def title(self) -> str:
        """The title, or the start of the first user message; not sanitized."""
        title = self.meta.get("title")
        if isinstance(title, str) and title.strip():
            return title
        questions = (message.content for message in self.state.messages if message.role == "user")
        return " ".join(next(questions, "")[:400].split())[:60]


def thread_from_messages(
    thread_id: str,
    messages: Iterable[Message],
    *,
    title: str = "",
    model: str = "",
    system: str = "",
    times: Sequence[datetime | None] = (),
) -> Thread:
    """Return a thread of another program's messages; `times` extend its creation and update times.

    A system message at the start becomes the thread's system prompt, unless `system` is given.
    """
    visible = tuple(messages)
    if visible and visible[0].role == "system" and not system:
        system, visible = visible[0].content, visible[1:]
    thread = thread_from_state(
        thread_id, ChatState(messages=visible), times, title=title, model=model, system=system
    )
    return replace(thread, is_foreign=True)


def thread_from_state(
    thread_id: str, state: ChatState, times: Sequence[datetime | None] = (), **meta: str
) -> Thread:
    """Return a thread with `meta`; it was created and updated at the first and last known time.

    Known times are `times` and the timestamps of the messages.
    """
    fields: dict[str, Any] = {key: repair(value) for key, value in meta.items() if value}
    known_times = [*times, *(message.timestamp for message in state.messages)]
    sorted_times = sorted(stamp for stamp in known_times if stamp is not None)
    if sorted_times:
        fields |= {
            "created": encode_time(sorted_times[0]),
            "updated": encode_time(sorted_times[-1]),
        }
    return Thread(thread_id, state, fields)


def parse_time(value: object) -> datetime | None:
    """Return the time of seconds since 1970 or an ISO 8601 text, None if it is invalid."""
    try:
        if isinstance(value, str):
            return decode_time(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def check_json(value: object) -> None:
    """Raise `NotAThreadError` if JSON is nested too deeply or contains NaN or infinity."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += item.values()
            elif isinstance(item, list):
                following += item
            elif isinstance(item, float) and not math.isfinite(item):
                raise NotAThreadError(f"it has {item}, which is not a number in JSON")
        if not following:
            return
        level = following
    raise NotAThreadError("it is nested too deeply")
