"""The dependencies of a chat session: agent, storage, clock, interceptors, observers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from koel_tui.agents import Agent
from koel_tui.protocol import ChatState, Event, TurnSettings
from koel_tui.session.interceptors import Interceptor
from koel_tui.session.observers import Observers
from koel_tui.storage import SessionStorage

SessionT = TypeVar("SessionT")

Reducer = Callable[[ChatState, Event], ChatState]
"""Carries a state on by an event, after `koel_tui.protocol.fold` has; must be as pure."""


@dataclass(frozen=True, slots=True)
class SessionDependencies(Generic[SessionT]):
    """What a client gives each of its sessions, whose type is `SessionT`.

    `agent` answers sessions without an agent of their own. `save_interval` is in seconds.
    """

    agent: Agent
    interceptors: tuple[Interceptor, ...]
    storage: SessionStorage | None
    clock: Callable[[], datetime]
    save_interval: float
    open_session: Callable[[ChatState, TurnSettings | None, Agent], SessionT]
    release: Callable[[Agent, str], Awaitable[None]]
    """Frees what an agent keeps for a thread that no live session has."""
    reducers: tuple[Reducer, ...] = ()
    observers: Observers = field(default_factory=Observers)
