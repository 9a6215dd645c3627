"""A session: one conversation on the shared weights, with its own history and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine.errors import SessionBusyError, SessionClosedError
from koel_tui.engine.frames import TurnEnded
from koel_tui.engine.options import absolute, turn_settings
from koel_tui.engine.turn import Turn, TurnStream
from koel_tui.engine.values import ChatMessage, SessionMetrics, SessionOptions, TextDelta
from koel_tui.protocol.turn_settings import TurnSettings

KV_BUDGET = 2 * 1024**3
"""Bytes that the snapshots of a folder may take together unless the caller says otherwise."""


class SessionHost(Protocol):
    """What a session needs of its engine."""

    def start_turn(
        self,
        session: EngineSession,
        messages: tuple[ChatMessage, ...],
        settings: TurnSettings,
    ) -> Turn:
        """Put a turn in line. Raises `EngineClosedError`."""
        ...

    async def save_kv(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Write a snapshot of what the session holds. Raises `EngineError`."""
        ...

    async def save_and_close(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Free the session at once, after a snapshot was written. Raises `EngineError`."""
        ...

    def close_session(self, session: EngineSession) -> None:
        """Free what the engine keeps for the session."""
        ...


class EngineSession:
    """One conversation. Made by `Engine.open_session`; independent of every other session.

    The history lives here, on the caller's side, so it outlives the native side.
    """

    def __init__(self, host: SessionHost, number: int, options: SessionOptions) -> None:
        self._host = host
        self._number = number
        self._options = options
        self._history: list[ChatMessage] = []
        self._added: list[ChatMessage] = []  # during the turn
        self._turn: Turn | None = None
        self._metrics = SessionMetrics()
        self._closed = False

    @property
    def name(self) -> str:
        """The label given at opening, '' where none was."""
        return self._options.name

    @property
    def number(self) -> int:
        """The engine's number of this session, unique for the engine's life."""
        return self._number

    @property
    def options(self) -> SessionOptions:
        """What the session was opened with, checked and with absolute paths."""
        return self._options

    @property
    def history(self) -> tuple[ChatMessage, ...]:
        """The conversation so far, answers included."""
        return tuple(self._history)

    @property
    def metrics(self) -> SessionMetrics:
        """Figures of the last finished turn; zeros before the first."""
        return self._metrics

    @property
    def closed(self) -> bool:
        """Whether `close` was called, here or by the engine."""
        return self._closed

    @property
    def generating(self) -> bool:
        """Whether a turn waits or runs."""
        return self._turn is not None

    def add(self, message: ChatMessage) -> None:
        """Append a message to the history; nothing runs yet. Raises `SessionClosedError`.

        During a turn the message is kept back until the turn has ended, and follows its answer.
        """
        self._check_open()
        (self._history if self._turn is None else self._added).append(message)

    def stream(
        self,
        messages: Sequence[ChatMessage] | None = None,
        settings: TurnSettings | None = None,
        *,
        schema: Mapping[str, Any] | None = None,
        progress: bool = False,
    ) -> TurnStream:
        """Return the deltas of the answer to the history, the last one `Finished`.

        `messages` replaces the history at once. `settings` replace those of the session for this
        turn, field by field; `schema`, a JSON schema the answer is held to, replaces theirs. An
        answer at the end of the history is gone on with, and the deltas are what is added to it.
        With `progress` the stream also tells the place in the line and how much of the prompt
        is read. The turn starts at the first read and answers what is the history then. Thinking
        is not recorded in the history; a tool call is, with or without text. The deltas
        contain neither the prefill nor a stop string; the answer in the history begins with the
        prefill.

        Raises `SessionBusyError`, `SessionClosedError`, ValueError for an invalid value and
        `UnsupportedError` for a `tool_choice` at once; while reading also `SessionBusyError` when
        another stream of the session was read first and is not at its end, `EngineClosedError`,
        `EngineCrashedError`, `ContextOverflowError`, `UnsupportedError` for a schema no grammar can
        be made of, and `EngineError` for what else went wrong.
        """
        self._check_idle()
        own = turn_settings(settings, self._options.settings)
        if schema is not None:
            own = replace(own, schema=schema)
        if messages is not None:
            self._history = list(messages)  # what is added before the first read follows it

        def start() -> Turn:
            self._check_idle()
            self._turn = self._host.start_turn(self, tuple(self._history), own)
            return self._turn

        prefill = own.prefill or ""
        return TurnStream(
            start, lambda answer, ended: self._finish_turn(answer, ended, prefill), progress
        )

    def complete(
        self, prompt: str, settings: TurnSettings | None = None, *, progress: bool = False
    ) -> TurnStream:
        """Return the deltas of the text that follows `prompt`, the last one `Finished`.

        The model gets the text alone: no chat template, no system prompt, no tools. The history
        stays as it is. Everything else is as in `stream`.
        """
        self._check_idle()
        own = replace(
            turn_settings(settings, self._options.settings),
            chat_template=RAW_COMPLETION,
            system="",
            tools=(),
        )

        def start() -> Turn:
            self._check_idle()
            self._turn = self._host.start_turn(self, (ChatMessage("user", prompt),), own)
            return self._turn

        return TurnStream(start, lambda _, ended: self._end_turn(ended), progress)

    async def respond(self, settings: TurnSettings | None = None) -> str:
        """Return the whole text of the answer to the history. Raises like `stream`."""
        deltas = self.stream(settings=settings)
        pieces = [delta.text async for delta in deltas if isinstance(delta, TextDelta)]
        return "".join(pieces)

    def stop(self) -> None:
        """End the running or waiting turn normally; on an idle session do nothing."""
        if self._turn is not None:
            self._turn.stop()

    async def save_kv(self, path: str | PathLike[str], *, budget_bytes: int = KV_BUDGET) -> None:
        """Write what the model has read and said so far, for `open_session(kv=path)`.

        The oldest snapshots in the same folder go until all of them fit `budget_bytes`. Raises
        `SessionClosedError`, ValueError for a budget below 0, `EngineClosedError`,
        `EngineCrashedError`, and `EngineError` when nothing is held or the file cannot be written.
        """
        self._check_open()
        await self._host.save_kv(self, absolute(path), _checked(budget_bytes))

    async def close(
        self, save_kv: str | PathLike[str] | None = None, *, budget_bytes: int = KV_BUDGET
    ) -> None:
        """End the turn, then free the session's native state. Idempotent.

        With `save_kv` a snapshot is written to that path first, as the method of that name does.
        The session is closed at once also then, and when this call is cancelled or fails; the
        call ends when the file is written. After a crash of the native side nothing is written.
        Raises ValueError for a budget below 0, and `EngineError` when the session holds nothing or
        the file cannot be written.
        """
        if save_kv is None:
            self.shut()
            return
        path, budget = absolute(save_kv), _checked(budget_bytes)
        if not self._closed:
            self._closed = True
            self.stop()
            await self._host.save_and_close(self, path, budget)

    def shut(self) -> None:
        """Close without waiting: the stream of a turn in flight still ends normally."""
        if not self._closed:
            self._closed = True
            self.stop()
            self._host.close_session(self)

    def _end_turn(self, ended: TurnEnded | None) -> None:
        self._turn = None
        if ended is not None:
            self._metrics = ended.metrics
        self._history += self._added
        self._added.clear()

    def _finish_turn(self, answer: ChatMessage, ended: TurnEnded | None, prefill: str) -> None:
        self._record(answer, prefill)
        self._end_turn(ended)

    def _record(self, answer: ChatMessage, prefill: str) -> None:
        if not (answer.content or answer.tool_calls):
            return
        answer = replace(answer, content=prefill + answer.content)
        if self._history and self._history[-1].begins_answer:
            begun = self._history.pop()
            answer = replace(answer, content=begun.content + answer.content)
        self._history.append(answer)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError

    def _check_idle(self) -> None:
        self._check_open()
        if self._turn is not None:
            raise SessionBusyError


def _checked(budget_bytes: int) -> int:
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, not {budget_bytes}")
    return budget_bytes
