"""What a client gives each of its sessions to work with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from koel_tui.agents import Agent
from koel_tui.protocol import ChatState, Event
from koel_tui.session.interceptors import Next
from koel_tui.session.observers import Observers
from koel_tui.storage import SessionStorage

if TYPE_CHECKING:
    from koel_tui.session.chat_session import ChatSession

Reducer = Callable[[ChatState, Event], ChatState]
"""Carries a state on by an event, after `koel_tui.protocol.fold` has; must be as pure."""


@dataclass(frozen=True, slots=True)
class Means:
    """The agent, how it is asked, where threads are saved, and who takes part."""

    agent: Agent
    ask: Next
    storage: SessionStorage | None
    clock: Callable[[], datetime]
    save_interval: float
    open_session: "Callable[[ChatState, Mapping[str, Any]], ChatSession]"
    in_use: Callable[[str], bool]
    """Whether a live session has the thread: then the agent must keep the thread's context."""
    reducers: tuple[Reducer, ...] = ()
    observers: Observers = field(default_factory=Observers)
