"""The errors of a run: four families, each with a code and a cause."""

from collections.abc import Mapping
from typing import Any, ClassVar


class KoelError(Exception):
    """The error of a failed run, with a message for the user.

    `message` says what happened and what to do next, `code` is one of the codes of its `family` or
    `unknown`, `cause` is the underlying exception or None. Errors are values: two are equal if all
    fields except `cause` are equal. Most are not raised but stored, as the `error` of a state.
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
        """The data of the family in addition to message and code; JSON values by name."""
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
    """The connection to the agent failed. Codes: timeout, closed, refused, tls.

    `status` is the HTTP status code, None without a response.
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
    """The agent violated the protocol. Codes: unknown_event, malformed, version, closed.

    `event_type` is AG-UI's name of the invalid event, None if the error is not about one event.
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

    `agent_code` is the agent's own code, None if it sent none.
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
    """The agent is not allowed to answer. Codes: quota, rate, auth, forbidden.

    `details` is the agent's data about the limit, JSON values by name.
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
        """The agent's data about the limit."""
        return self._details


def classify(error: BaseException) -> KoelError:
    """Return any exception as an error of a family; a `KoelError` is returned unchanged."""
    if isinstance(error, KoelError):
        return error
    message = str(error) or type(error).__name__
    # We match TLS errors by name, because ssl imports sockets and this package has no I/O.
    if any(kind.__name__ == "SSLError" for kind in type(error).__mro__):
        return TransportError(message, "tls", cause=error)
    if isinstance(error, TimeoutError):
        return TransportError(message, "timeout", cause=error)
    if isinstance(error, ConnectionRefusedError):
        return TransportError(message, "refused", cause=error)
    if isinstance(error, ConnectionError | EOFError):
        return TransportError(message, "closed", cause=error)
    return AgentError(message, cause=error)
