"""Errors of the engine. Every message has the failure, its cause and the next step."""


class EngineError(Exception):
    """Base class of all engine errors."""


class EngineClosedError(EngineError):
    """The engine is closed; load a new one."""

    def __init__(self, message: str = "The engine is closed. Load a new one.") -> None:
        super().__init__(message)


class SessionClosedError(EngineError):
    """The session is closed; open a new one."""

    def __init__(self, message: str = "The session is closed. Open a new one.") -> None:
        super().__init__(message)


class SessionLimitError(EngineError):
    """The limit of open sessions is reached."""


class SessionBusyError(EngineError):
    """The session is already generating; wait for it or stop it."""

    def __init__(
        self, message: str = "The session is already generating. Wait for it or stop it first."
    ) -> None:
        super().__init__(message)


class ModelLoadError(EngineError):
    """The model file cannot be loaded; the message has the path and llama.cpp's reason."""


class ChatTemplateError(ModelLoadError):
    """The model's chat template is unusable; a session may use a built-in one instead."""


class ContextOverflowError(EngineError):
    """The prompt exceeds the context; the message has both token counts."""


class UnsupportedError(EngineError):
    """The model or engine lacks a requested feature; the message names it."""


class EngineCrashedError(EngineError):
    """The worker crashed; the next call starts a new one.

    `how` is the cause; the message has the next step too. `begun` is whether the failed turn had
    started in the worker: a turn that was only queued may be retried.
    """

    def __init__(self, how: str, *, begun: bool = False) -> None:
        super().__init__(f"{how} Send again to restart the engine.")
        self.how = how
        self.begun = begun


class RestartLimitError(EngineCrashedError):
    """The worker crashed too often; it is not restarted for a while."""

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
"""Error classes by name, to recreate errors of the runner process."""
