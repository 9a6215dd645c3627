"""An engine session: one conversation with its own history and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.engine.errors import SessionBusyError, SessionClosedError
from koel_tui.engine.history import History
from koel_tui.engine.options import absolute_path, turn_settings
from koel_tui.engine.turn import Turn, TurnStream
from koel_tui.engine.types import ChatMessage, SessionMetrics, SessionOptions, TextDelta
from koel_tui.engine.wire_messages import TurnEnded
from koel_tui.protocol.turn_settings import TurnSettings

KV_BUDGET = 2 * 1024**3
"""Default limit in bytes for all snapshots of a folder together."""


class SessionHost(Protocol):
    """Interface of the engine to its sessions."""

    def start_turn(
        self,
        session: EngineSession,
        history: History,
        settings: TurnSettings,
    ) -> Turn:
        """Queue a turn that answers `history`, which stays the same until the turn is over.

        Raises `EngineClosedError`.
        """
        ...

    async def save_kv(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Write a KV snapshot of the session when no turn is generated. Raises `EngineError`."""
        ...

    async def save_and_close(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Write a KV snapshot, then free the session. Raises `EngineError`."""
        ...

    def close_session(self, session: EngineSession) -> None:
        """Free the session's state in the engine."""
        ...


class EngineSession:
    """One conversation. Created by `Engine.open_session`; independent of other sessions.

    The history is stored here, in the caller's process, so it survives a crash of the worker.
    """

    def __init__(self, host: SessionHost, number: int, options: SessionOptions) -> None:
        self._host = host
        self._number = number
        self._options = options
        self._history = History()
        self._added: list[ChatMessage] = []  # messages added during the turn
        self._turn: Turn | None = None
        self._metrics = SessionMetrics()
        self._closed = False

    @property
    def name(self) -> str:
        """The label given at opening, '' by default."""
        return self._options.name

    @property
    def number(self) -> int:
        """Number of this session, unique within the engine."""
        return self._number

    @property
    def options(self) -> SessionOptions:
        """Options of the session, validated, with absolute_path paths."""
        return self._options

    @property
    def history(self) -> tuple[ChatMessage, ...]:
        """The messages so far, answers included."""
        return self._history.messages

    @property
    def metrics(self) -> SessionMetrics:
        """Metrics of the last finished turn; zeros before the first."""
        return self._metrics

    @property
    def closed(self) -> bool:
        """True if `close` was called, here or by the engine."""
        return self._closed

    @property
    def generating(self) -> bool:
        """True if a turn is queued or running."""
        return self._turn is not None

    def add(self, message: ChatMessage) -> None:
        """Append a message to the history; starts no turn. Raises `SessionClosedError`.

        During a turn the message is appended after the turn's answer, when the turn has ended.
        """
        self._check_open()
        if self._turn is None:
            self._history.extend([message])
        else:
            self._added.append(message)

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
        turn, field by field; `schema`, a JSON schema for the answer, replaces theirs. If the
        history ends with an answer, the turn continues it, and the deltas are the added text.
        With `progress` the stream also reports the queue position and the prefill progress. The
        turn starts when the first delta is requested, with the history of that time. The history
        records tool calls, with or without text, but no thinking. The deltas contain neither the
        prefill text nor a stop string; the answer in the history begins with the prefill text.

        Raises `SessionBusyError`, `SessionClosedError`, ValueError for an invalid value and
        `UnsupportedError` for a `tool_choice` at once; during iteration also `SessionBusyError`
        while another stream of the session is unfinished, `EngineClosedError`,
        `EngineCrashedError`, `ContextOverflowError`, `UnsupportedError` for a schema that cannot
        be converted to a grammar, and `EngineError` for any other failure.
        """
        self._check_idle()
        merged = turn_settings(settings, self._options.settings)
        if schema is not None:
            merged = replace(merged, schema=schema)
        if messages is not None:
            self._history.replace(messages)

        def start() -> Turn:
            self._check_idle()
            self._turn = self._host.start_turn(self, self._history, merged)
            return self._turn

        prefill = merged.prefill or ""
        return TurnStream(
            start, lambda answer, ended: self._finish_turn(answer, ended, prefill), progress
        )

    def complete(
        self, prompt: str, settings: TurnSettings | None = None, *, progress: bool = False
    ) -> TurnStream:
        """Return the deltas of the text that follows `prompt`, the last one `Finished`.

        The prompt is sent without chat template, system prompt and tools. The history does not
        change. Everything else is as in `stream`.
        """
        self._check_idle()
        merged = replace(
            turn_settings(settings, self._options.settings),
            chat_template=RAW_COMPLETION,
            system="",
            tools=(),
        )

        def start() -> Turn:
            self._check_idle()
            history = History([ChatMessage("user", prompt)])
            self._turn = self._host.start_turn(self, history, merged)
            return self._turn

        return TurnStream(start, lambda _, ended: self._end_turn(ended), progress)

    async def respond(self, settings: TurnSettings | None = None) -> str:
        """Return the full text of the answer to the history. Raises the errors of `stream`."""
        deltas = self.stream(settings=settings)
        pieces = [delta.text async for delta in deltas if isinstance(delta, TextDelta)]
        return "".join(pieces)

    def stop(self) -> None:
        """End the running or queued turn normally; do nothing if there is none."""
        if self._turn is not None:
            self._turn.stop()

    async def save_kv(self, path: str | PathLike[str], *, budget_bytes: int = KV_BUDGET) -> None:
        """Write a snapshot of the session's KV state, for `open_session(kv=path)`.

        It waits until no session generates or waits for its turn, but not longer than until the
        session or the engine is closed: to copy the state takes time of the model.
        Removes the oldest snapshots of the folder until all of them fit `budget_bytes`. Raises
        `SessionClosedError`, ValueError for a budget below 0, `EngineClosedError`,
        `EngineCrashedError`, and `EngineError` if there is no state or the file is not writable.
        """
        self._check_open()
        await self._host.save_kv(self, absolute_path(path), _check_budget(budget_bytes))

    async def close(
        self, save_kv: str | PathLike[str] | None = None, *, budget_bytes: int = KV_BUDGET
    ) -> None:
        """End the turn, then free the session's state in the worker. Idempotent.

        With `save_kv` the snapshot is written to that path first, like the method `save_kv` does.
        The session is closed at once even then, and even if this call is cancelled or fails; the
        call returns when the file is written. After a crash of the worker no file is written.
        Raises ValueError for a budget below 0, and `EngineError` if there is no state or the file
        cannot be written.
        """
        if save_kv is None:
            self.shut()
            return
        path, budget = absolute_path(save_kv), _check_budget(budget_bytes)
        if not self._closed:
            self._closed = True
            self.stop()
            await self._host.save_and_close(self, path, budget)

    def shut(self) -> None:
        """Close without waiting; the stream of a running turn still ends normally."""
        if not self._closed:
            self._closed = True
            self.stop()
            self._host.close_session(self)

    def _end_turn(self, ended: TurnEnded | None) -> None:
        self._turn = None
        if ended is not None:
            self._metrics = ended.metrics
        self._history.extend(self._added)
        self._added.clear()

    def _finish_turn(self, answer: ChatMessage, ended: TurnEnded | None, prefill: str) -> None:
        self._record(answer, prefill)
        self._end_turn(ended)

    def _record(self, answer: ChatMessage, prefill: str) -> None:
        if not (answer.content or answer.tool_calls):
            return
        answer = replace(answer, content=prefill + answer.content)
        last = self._history.last
        if last is not None and last.begins_answer:
            partial_answer = self._history.pop()
            answer = replace(answer, content=partial_answer.content + answer.content)
        self._history.extend([answer])

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError

    def _check_idle(self) -> None:
        self._check_open()
        if self._turn is not None:
            raise SessionBusyError


def _check_budget(budget_bytes: int) -> int:
    if budget_bytes < 0:
        raise ValueError(f"budget_bytes must be at least 0, not {budget_bytes}")
    return budget_bytes
