"""What the engine raises. Every message says what failed, why, and what to do next."""


class EngineError(Exception):
    """Base of everything the engine raises."""


class EngineClosedError(EngineError):
    """The engine was closed; load a new one."""

    def __init__(self, message: str = "The engine is closed. Load a new one.") -> None:
        super().__init__(message)


class SessionClosedError(EngineError):
    """The session was closed; open a new one."""

    def __init__(self, message: str = "The session is closed. Open a new one.") -> None:
        super().__init__(message)


class SessionLimitError(EngineError):
    """As many sessions are open as the engine allows."""


class SessionBusyError(EngineError):
    """The session is already generating; wait for it or stop it."""

    def __init__(
        self, message: str = "The session is already generating. Wait for it or stop it first."
    ) -> None:
        super().__init__(message)


class ModelLoadError(EngineError):
    """The model file cannot be loaded; the message has the path and llama.cpp's reason."""


class ChatTemplateError(ModelLoadError):
    """The model's own chat template cannot be used; a session may ask for one that is built in."""


class ContextOverflowError(EngineError):
    """The prompt does not fit the window; the message has both numbers."""


class UnsupportedError(EngineError):
    """The model or this engine lacks what was asked for; the message names it."""


class EngineCrashedError(EngineError):
    """The native side died; the next call starts a fresh one.

    `how` says what it died of, the message the next step too. `begun` tells whether it died over
    the turn that failed: one that only waited may be tried again.
    """

    def __init__(self, how: str, *, begun: bool = False) -> None:
        super().__init__(f"{how} Send again: it is restarted.")
        self.how = how
        self.begun = begun


class RestartLimitError(EngineCrashedError):
    """The native side died so often that it is left alone for a while."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.args = (message,)


ERROR_TYPES: dict[str, type[EngineError]] = {
    kind.__name__: kind
    for kind in (
        EngineError,
        EngineClosedError,
        SessionClosedError,
        SessionLimitError,
        SessionBusyError,
        ModelLoadError,
        ChatTemplateError,
        ContextOverflowError,
        UnsupportedError,
        EngineCrashedError,
        RestartLimitError,
    )
}
"""The classes by name, for errors that cross the process border."""
