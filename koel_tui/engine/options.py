"""What callers may say when they open a session, and its check before anything native happens."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, TypedDict

from koel_tui.engine.errors import ModelLoadError, UnsupportedError
from koel_tui.engine.values import ModelSpec, SessionOptions
from koel_tui.protocol.turn_settings import Sampling


class SessionSettings(TypedDict, total=False):
    """The keywords of `Engine.open_session` and `Engine.create_session`; all may be left out."""

    system: str | None
    """System prompt, unless the conversation brings its own."""
    sampling: Sampling | None
    """How tokens are drawn; None is `Sampling()`."""
    lora: str | PathLike[str] | None
    """Adapter file for this session alone; None is the one of `ModelSpec`."""
    kv: str | PathLike[str] | None
    """Snapshot made by `EngineSession.save_kv` to start from; a useless one is ignored."""
    thinking: bool
    """Whether `ThinkingDelta`s are passed on, and the template asked for thinking."""
    vision: bool | None
    """Not supported: raises `UnsupportedError`."""
    audio: bool | None
    """Not supported: raises `UnsupportedError`."""
    tools: Sequence[Mapping[str, Any]]
    """Function tools as JSON schema objects, in the form chat templates take."""
    chat_template: str | None
    """Name of a built-in chat template; None is the model's own."""
    max_output_tokens: int | None
    """Longest answer in tokens; None is what the window has room for."""


def absolute(path: str | PathLike[str]) -> Path:
    """Return the path as the native side has to hear it: its process may be somewhere else."""
    return Path(path).absolute()


def check_supported(spec: ModelSpec) -> None:
    """Raise `UnsupportedError` when a model is to be loaded with what this engine lacks."""
    if spec.mmproj is not None:
        raise UnsupportedError(
            f"This engine loads text models only, so it has no use for the projector {spec.mmproj}."
            f" Load {spec.path.name} without it, or use a server that takes images and sound."
        )


def session_options(
    spec: ModelSpec,
    name: str = "",
    *,
    system: str | None = None,
    sampling: Sampling | None = None,
    lora: str | PathLike[str] | None = None,
    kv: str | PathLike[str] | None = None,
    thinking: bool = False,
    vision: bool | None = None,
    audio: bool | None = None,
    tools: Sequence[Mapping[str, Any]] = (),
    chat_template: str | None = None,
    max_output_tokens: int | None = None,
) -> SessionOptions:
    """Return the options of a session on a model loaded as `spec` says.

    Raises `UnsupportedError` for vision and audio, `ModelLoadError` when `lora` is no file.
    """
    for feature, wanted in (("vision", vision), ("audio", audio)):
        if wanted:
            raise UnsupportedError(
                f"{spec.path.name} is loaded without {feature}: that takes a model made for "
                f"{feature} and its projector (an mmproj file), and this engine loads text models "
                "only. "
                f"Open the session without {feature}, or use a server that has such a model."
            )
    lora = spec.lora if lora is None else lora
    adapter = None if lora is None else absolute(lora)
    if adapter is not None and not adapter.is_file():
        raise ModelLoadError(f"Cannot load the adapter {adapter}: no such file. Check the path.")
    return SessionOptions(
        name=name,
        system=system,
        sampling=sampling or Sampling(),
        max_output_tokens=max_output_tokens,
        lora=adapter,
        kv=None if kv is None else absolute(kv),
        thinking=thinking,
        tools=tuple(dict(tool) for tool in tools),
        chat_template=chat_template,
    )
