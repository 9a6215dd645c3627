"""Settings of the program: flags first, then KOEL_* variables, then config.toml, then defaults."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from koel_tui import paths


class SettingsError(Exception):
    """The configuration cannot be used; the message names the place, the key and the reason."""


class Settings(BaseSettings):
    """Everything a user can set for the whole program."""

    model_config = SettingsConfigDict(env_prefix="KOEL_", extra="forbid", frozen=True)

    model: Path | None = Field(
        None, description="GGUF file to run, or a model's name; none: the bundled starter."
    )
    model_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders to find models in, beside the usual ones."
    )
    max_sessions: int = Field(8, ge=1, le=256, description="Open model contexts at most.")
    parallel: int = Field(1, ge=1, le=64, description="Answers written at the same time.")
    context_tokens: int | None = Field(
        None, ge=256, description="Window in tokens (prompt and answer); none: the model's own."
    )
    max_output_tokens: int = Field(2048, ge=1, description="Longest answer in tokens.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers on the GPU; -1: all that fit.")
    threads: int | None = Field(None, ge=1, description="CPU threads; none: physical cores.")
    system: str | None = Field(None, description="System prompt of new threads.")
    temperature: float = Field(0.8, ge=0, le=5, description="0 always takes the likeliest token.")
    seed: int | None = Field(None, ge=0, lt=2**32, description="Fixed seed; none: random.")
    plain: bool = Field(False, description="A line program for screen readers, no window.")
    low_bandwidth: bool = Field(False, description="Paint rarely, for slow connections.")
    theme: str = Field("textual-dark", description="Name of a Textual theme.")

    @field_validator("model_folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Take a list, or text as PATH has it."""
        if isinstance(value, str):
            return tuple(each for each in value.split(os.pathsep) if each)
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank the sources: flags, environment, config.toml."""
        toml = TomlConfigSettingsSource(settings_cls, paths.config_file())
        return init_settings, env_settings, toml


def load_settings(**flags: Any) -> Settings:
    """Return the settings in force; a flag that is None counts as not given.

    Raises `SettingsError` naming the first thing wrong, never showing a value.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        raise SettingsError(
            f"Setting {name!r}: {first['msg']}. "
            f"Correct the flag, KOEL_{name.upper()} or {paths.config_file()}."
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"Cannot read {paths.config_file()}: {error}.") from None
