"""The dependencies of a chat session: agent, storage, clock, interceptors, observers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from koel_tui.agents import Agent
from koel_tui.protocol import ChatState, Event, TurnSettings
from koel_tui.session.broadcast import Broadcast
from koel_tui.session.interceptors import Interceptor
from koel_tui.session.observers import Observers
from koel_tui.storage import SessionStorage

SessionT = TypeVar("SessionT")

Reducer = Callable[[ChatState, Event], ChatState]
"""Returns the state after an event, called after `koel_tui.protocol.fold`; must be pure."""


@dataclass(frozen=True, slots=True)
class SessionDependencies(Generic[SessionT]):
    """The dependencies that a client passes to its sessions, of type `SessionT`.

    `agent` is the default agent of a session. `save_interval` is in seconds.
    """

    agent: Agent
    interceptors: tuple[Interceptor, ...]
    storage: SessionStorage | None
    clock: Callable[[], datetime]
    save_interval: float
    open_session: Callable[[ChatState, TurnSettings | None, Agent], SessionT]
    release: Callable[[Agent, str], Awaitable[None]]
    """Frees an agent's data of a thread that has no live session."""
    reducers: tuple[Reducer, ...] = ()
    observers: Observers = field(default_factory=Observers)
    saves: Broadcast[None] = field(default_factory=lambda: Broadcast(size=1))
    """Publishes after each save of any session, whether it succeeded or failed."""
