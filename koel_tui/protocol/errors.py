"""What can go wrong in a run: four families of errors, each with a code and a cause."""

from collections.abc import Mapping
from typing import Any, ClassVar


class KoelError(Exception):
    """A run that failed, told so that a person can act on it.

    `message` says what happened and what to do next, `code` is one of the words of its `family` or
    `unknown`, `cause` is the exception behind it or None. Errors are values: two are equal when
    all but their causes are. Mostly they are not raised but kept, as the `error` of a state.
    """

    family: ClassVar[str] = ""

    def __init__(
        self, message: str, code: str = "unknown", *, cause: BaseException | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.cause = cause

    @property
    def details(self) -> Mapping[str, Any]:
        """What the family knows beyond message and code; JSON values by name."""
        return {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KoelError):
            return NotImplemented
        return self._value() == other._value()

    def __hash__(self) -> int:
        return hash((type(self), self.message, self.code))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, code={self.code!r})"

    def _value(self) -> tuple[object, ...]:
        return (type(self), self.message, self.code, dict(self.details))


class TransportError(KoelError):
    """The way to the agent failed. Codes: timeout, closed, refused, tls.

    `status` is the number of the HTTP response, None where there was none.
    """

    family = "transport"

    def __init__(
        self,
        message: str,
        code: str = "unknown",
        *,
        status: int | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, code, cause=cause)
        self.status = status

    @property
    def details(self) -> Mapping[str, Any]:
        """The `status`."""
        return {"status": self.status}


class ProtocolError(KoelError):
    """The agent said something it may not say. Codes: unknown_event, malformed, version, closed.

    `event_type` is AG-UI's name of the event that was wrong, None where it was not one event.
    """

    family = "protocol"

    def __init__(
        self,
        message: str,
        code: str = "malformed",
        *,
        event_type: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, code, cause=cause)
        self.event_type = event_type

    @property
    def details(self) -> Mapping[str, Any]:
        """The `event_type`."""
        return {"event_type": self.event_type}


class AgentError(KoelError):
    """The agent failed. Codes: refused, tool_failed, internal.

    `agent_code` is the agent's own word for it, None where it gave none.
    """

    family = "agent"

    def __init__(
        self,
        message: str,
        code: str = "unknown",
        *,
        agent_code: str | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, code, cause=cause)
        self.agent_code = agent_code

    @property
    def details(self) -> Mapping[str, Any]:
        """The `agent_code`."""
        return {"agent_code": self.agent_code}


class BusinessError(KoelError):
    """The agent may not answer. Codes: quota, rate, auth, forbidden.

    `details` are what it said about the limit, as JSON values by name.
    """

    family = "business"

    def __init__(
        self,
        message: str,
        code: str = "unknown",
        *,
        details: Mapping[str, Any] | None = None,
        cause: BaseException | None = None,
    ) -> None:
        super().__init__(message, code, cause=cause)
        self._details = dict(details or {})

    @property
    def details(self) -> Mapping[str, Any]:
        """What the agent said about the limit."""
        return self._details


def classify(error: BaseException) -> KoelError:
    """Return `error` as one of the families; total, and the same object when it is one already."""
    if isinstance(error, KoelError):
        return error
    message = str(error) or type(error).__name__
    # TLS errors are told by name: importing ssl would bring sockets into a room without I/O.
    if any(kind.__name__ == "SSLError" for kind in type(error).__mro__):
        return TransportError(message, "tls", cause=error)
    if isinstance(error, TimeoutError):
        return TransportError(message, "timeout", cause=error)
    if isinstance(error, ConnectionRefusedError):
        return TransportError(message, "refused", cause=error)
    if isinstance(error, ConnectionError | EOFError):
        return TransportError(message, "closed", cause=error)
    return AgentError(message, cause=error)
