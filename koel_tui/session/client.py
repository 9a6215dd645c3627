"""The client, which creates and disposes the sessions of an agent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from functools import partial

from ag_ui.core import RunErrorEvent, RunFinishedEvent, TextMessageContentEvent

from koel_tui.agents import Agent, ephemeral_agent
from koel_tui.protocol import AgentError, ChatState, Message, TurnSettings, finish_reason
from koel_tui.protocol.events.streams import closing
from koel_tui.session.chat_session import ChatSession
from koel_tui.session.dependencies import Reducer, SessionDependencies
from koel_tui.session.errors import SessionDisposedError, ThreadInUseError
from koel_tui.session.interceptors import Interceptor, pipeline
from koel_tui.session.observers import Observer, Observers
from koel_tui.session.run import release_thread
from koel_tui.session.run_input import RunInputs, new_id
from koel_tui.storage import SessionStorage
from koel_tui.system.clock import utc_now


class KoelClient:
    """Creates sessions with one agent and owns them until they are disposed.

    `storage` stores the sessions; None saves nothing. `reducers` change the state after the fold,
    left to right. `interceptors` wrap each run, the first one outermost; `observers` receive every
    event and state. `clock` returns the UTC times of messages. `save_interval` is the minimum time
    in seconds between two saves while text streams.
    """

    def __init__(
        self,
        agent: Agent,
        storage: SessionStorage | None = None,
        *,
        reducers: Sequence[Reducer] = (),
        interceptors: Sequence[Interceptor] = (),
        observers: Sequence[Observer] = (),
        clock: Callable[[], datetime] = utc_now,
        save_interval: float = 1.0,
    ) -> None:
        self._dependencies = SessionDependencies(
            agent=agent,
            interceptors=tuple(interceptors),
            storage=storage,
            clock=clock,
            save_interval=save_interval,
            open_session=partial(self.new_session, None),
            release=self._release,
            reducers=tuple(reducers),
            observers=Observers(observers),
        )
        self._sessions: list[ChatSession] = []
        self._disposed: asyncio.Task[None] | None = None

    @property
    def sessions(self) -> tuple[ChatSession, ...]:
        """The live sessions, oldest first."""
        return tuple(session for session in self._sessions if not session.disposed)

    @property
    def unsaved(self) -> tuple[ChatSession, ...]:
        """The disposed sessions whose last save is not done; their `state` is the only copy."""
        return tuple(session for session in self._sessions if session.disposed and session.dirty)

    def unsaved_state(self, thread_id: str) -> ChatState | None:
        """Return the newest state of a closed thread if it is not saved, else None.

        The thread must be opened again with this state. Older states that are still to be saved to
        a conflict file are ignored.
        """
        states = [
            each.state
            for each in self.unsaved
            if each.thread_id == thread_id and not each.superseded
        ]
        return states[-1] if states else None

    @property
    def closing(self) -> tuple[ChatSession, ...]:
        """The disposed sessions that are still being saved."""
        return tuple(each for each in self._sessions if each.disposed and not each.closed)

    def saves(self) -> AsyncIterator[None]:
        """Return an iterator over the saves from now on, of open and of disposed sessions.

        A save may have failed: see `ChatSession.save_error`. A slow reader receives one item for
        several saves. The iterator does not end, because failed saves are retried after `dispose`.
        """
        return self._dependencies.saves.reader()

    def new_session(
        self,
        thread_id: str | None = None,
        initial: ChatState | None = None,
        settings: TurnSettings | None = None,
        agent: Agent | None = None,
    ) -> ChatSession:
        """Return a new session of a thread; it never loads the thread.

        `thread_id` defaults to a new UUID, `initial` is the loaded state of the thread. `settings`
        and `agent` apply to its runs; None leaves the settings to the agent and selects the
        client's agent. If `initial` is the state of one of the `unsaved` sessions, the new session
        saves it from then on; any other unsaved state of the thread goes to a conflict file. Raises
        `ThreadInUseError` if the thread has a live session, and `SessionDisposedError` after
        `dispose`.
        """
        self._check_open()
        if thread_id is None:
            thread_id = new_id()
        initial = initial or ChatState()
        earlier = [session for session in self._sessions if session.thread_id == thread_id]
        if not all(session.disposed for session in earlier):
            raise ThreadInUseError(thread_id)
        loaded = not any(each.superseded and each.state == initial for each in earlier)
        unsaved = [each for each in earlier if each.hand_over(initial, loaded=loaded)]
        session = ChatSession(
            thread_id,
            initial,
            self._dependencies,
            settings=settings,
            agent=agent,
            after=asyncio.create_task(_wait_released(earlier)) if earlier else None,
            unsaved=bool(unsaved),
        )
        self._forget_closed()
        self._sessions.append(session)
        return session

    async def ask(
        self,
        messages: Sequence[Message],
        settings: TurnSettings | None = None,
        agent: Agent | None = None,
    ) -> str:
        """Return the text of an answer to messages that belong to no thread, as `answer` does."""
        return (await self.answer(messages, settings, agent)).content

    async def answer(
        self,
        messages: Sequence[Message],
        settings: TurnSettings | None = None,
        agent: Agent | None = None,
    ) -> Message:
        """Return an answer to messages that belong to no thread, with its finish reason.

        The run passes the interceptors and the usual checks. It is ephemeral: nothing is saved, no
        observer is called, and the agent stores nothing. `settings` and `agent` are as in
        `new_session`. Cancelling stops the agent. Raises `AgentError` if the run fails, what the
        agent and the interceptors raise, and `SessionDisposedError` after `dispose`.
        """
        self._check_open()
        ephemeral = ephemeral_agent(self._dependencies.agent if agent is None else agent)
        run = await RunInputs(new_id()).build(ChatState(messages=tuple(messages)))
        events = pipeline(ephemeral, self._dependencies.interceptors)(run, settings)
        pieces: list[str] = []
        reason = None
        try:
            async with closing(events):
                async for event in events:
                    if isinstance(event, TextMessageContentEvent):
                        pieces.append(event.delta)
                    elif isinstance(event, RunErrorEvent):
                        raise AgentError(event.message, event.code or "internal")
                    elif isinstance(event, RunFinishedEvent):
                        reason = finish_reason(event)
                        break
        finally:
            await release_thread(ephemeral, run.thread_id)
        return Message(new_id(), "assistant", "".join(pieces), finish_reason=reason)

    def forget(self, thread_id: str) -> None:
        """Drop the unsaved state of a deleted thread, so that the thread is not saved again."""
        for session in self._sessions:
            if session.disposed and session.thread_id == thread_id:
                session.abandon_saves()

    def dispose(self) -> asyncio.Future[None]:
        """End every session at once; the result completes when their last saves are done.

        Idempotent. The result holds no error: `unsaved` lists the failed saves.
        """
        if self._disposed is None:
            closing = [session.dispose() for session in self._sessions]
            self._disposed = asyncio.create_task(_wait_all(closing))
        return asyncio.shield(self._disposed)

    def _check_open(self) -> None:
        if self._disposed is not None:
            raise SessionDisposedError("The client was closed. Create a new one to open threads.")

    async def _release(self, agent: Agent, thread_id: str) -> None:
        """Free the agent's data of a thread, unless a live session of it uses this agent."""
        if not any(each.thread_id == thread_id and each.agent == agent for each in self.sessions):
            await release_thread(agent, thread_id)

    def _forget_closed(self) -> None:
        self._sessions = [
            session for session in self._sessions if not session.closed or session.dirty
        ]


async def _wait_all(closing: list[asyncio.Future[None]]) -> None:
    if closing:
        await asyncio.wait(closing)


async def _wait_released(sessions: list[ChatSession]) -> None:
    for session in sessions:
        await session.released()
