"""Settings of sessions and turns, and their validation before they are sent."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from koel_tui.engine.errors import ModelLoadError, UnsupportedError
from koel_tui.engine.types import ModelSpec, SessionOptions
from koel_tui.protocol.turn_settings import Sampling, TurnSettings
from koel_tui.system.regular_files import is_file

_SUPPORTED_CHOICES = ("auto", "none")
"""Values of `tool_choice` that this engine supports."""


class SessionSettings(TypedDict, total=False):
    """Keywords of `Engine.open_session` and `Engine.create_session`; all are optional.

    A keyword with the name of a field of `TurnSettings` replaces that field of `settings`.
    """

    system: str | None
    """System prompt, used if the conversation has none."""
    sampling: Sampling | None
    """Sampling parameters; None means `Sampling()`."""
    lora: str | PathLike[str] | None
    """LoRA adapter file of this session; None means that of `ModelSpec`."""
    kv: str | PathLike[str] | None
    """Snapshot of `EngineSession.save_kv` to restore; ignored if it is unusable."""
    thinking: bool | int | None
    """True if the model thinks and `ThinkingDelta`s are sent; an int is the token budget."""
    vision: bool | None
    """Not supported: raises `UnsupportedError`."""
    audio: bool | None
    """Not supported: raises `UnsupportedError`."""
    tools: Sequence[Mapping[str, Any]] | None
    """Function tools as JSON schema objects, in chat template format."""
    tool_choice: str | None
    """"auto": the model chooses; "none": no tools; others raise `UnsupportedError`."""
    schema: Mapping[str, Any] | None
    """JSON schema that constrains every answer."""
    stop: Sequence[str] | None
    """Strings that end an answer."""
    chat_template: str | None
    """Name of a built-in chat template; None means that of the model."""
    max_output_tokens: int | None
    """Maximum answer length in tokens; None means the rest of the context."""
    prefill: str | None
    """Beginning of every answer, fixed by the caller."""


def absolute_path(path: str | PathLike[str]) -> Path:
    """Return the absolute_path path; the runner process may have another working directory."""
    return Path(path).absolute()


def check_supported(spec: ModelSpec) -> None:
    """Raise `UnsupportedError` if `spec` needs a feature that this engine lacks."""
    if spec.mmproj is not None:
        raise UnsupportedError(
            f"This engine supports text models only, so it cannot use the projector {spec.mmproj}."
            f" Load {spec.path.name} without it, or use a server that supports images and sound."
        )


def session_options(
    spec: ModelSpec,
    name: str = "",
    settings: TurnSettings | None = None,
    *,
    lora: str | PathLike[str] | None = None,
    kv: str | PathLike[str] | None = None,
    vision: bool | None = None,
    audio: bool | None = None,
    **fields: Any,
) -> SessionOptions:
    """Return the options of a session on a model loaded with `spec`.

    `fields` replace those of `settings` with the same name. Raises `UnsupportedError` for an
    unsupported feature, `ModelLoadError` if `lora` is not a file, ValueError for an invalid value.
    """
    for feature, requested in (("vision", vision), ("audio", audio)):
        if requested:
            raise UnsupportedError(
                f"{spec.path.name} is loaded without {feature}, which needs a model for {feature} "
                "and its projector (an mmproj file): this engine supports text models only. "
                f"Open the session without {feature}, or use a server that supports it."
            )
    if not isinstance(name, str):
        raise ValueError(f"name must be a string, not {name!r}")
    merged = turn_settings(TurnSettings(**fields), turn_settings(settings, TurnSettings()))
    lora = spec.lora if lora is None else lora
    adapter = None if lora is None else absolute_path(lora)
    if adapter is not None and not is_file(adapter):
        raise ModelLoadError(f"Cannot load the adapter {adapter}: no such file. Check the path.")
    return SessionOptions(name, adapter, None if kv is None else absolute_path(kv), merged)


def turn_settings(overrides: TurnSettings | None, session: TurnSettings) -> TurnSettings:
    """Return the settings of a turn: `overrides`, with unset fields taken from `session`.

    Raises ValueError if `overrides` has a wrong type, `UnsupportedError` for an unsupported
    `tool_choice`.
    """
    if overrides is not None and not isinstance(overrides, TurnSettings):
        raise ValueError(f"settings must be a TurnSettings, not {overrides!r}")
    settings = session if overrides is None else overrides.over(session)
    choice = settings.tool_choice
    if choice is not None and choice not in _SUPPORTED_CHOICES:
        raise UnsupportedError(
            f"This engine cannot force a tool call: tool_choice is {choice!r}. "
            f"Use {' or '.join(_SUPPORTED_CHOICES)}."
        )
    return settings
