"""The program's settings, from flags, KOEL_* variables, config.toml and defaults, in this order."""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as InvalidVariable

from koel_tui import paths
from koel_tui.chat_templates import CHAT_TEMPLATES, CHATML
from koel_tui.limits import LINE_LENGTH, MAX_SEQUENCES, MAX_THREADS
from koel_tui.protocol.turn_settings import OUTPUT_TOKENS, RANGES, Range
from koel_tui.sampling_options import OPTIONS
from koel_tui.setting_sources import (
    VARIABLE_PREFIX,
    Origin,
    config_line,
    read_config,
    setting_origin,
    variable_name,
)
from koel_tui.typed_values import parse_line_length

NUMBER_RANGES: Mapping[str, Range] = MappingProxyType(
    {**RANGES, "max_output_tokens": OUTPUT_TOKENS}
)
"""The allowed ranges of the settings that can also be set per thread."""


class SettingsError(Exception):
    """The configuration is invalid; the message names the location, the key and the reason."""


def _flatten(table: object) -> object:
    """Flatten the keys table to dotted names and comma lists; TOML parses `tab.new` as a table."""
    return dict(_flat_items(table, "")) if isinstance(table, Mapping) else table


def _flat_items(table: Mapping[Any, Any], above: str) -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat_items(value, f"{above}{name}.")
        elif isinstance(value, list):
            yield f"{above}{name}", ",".join(map(str, value))
        else:
            yield f"{above}{name}", value


KeyBindings = Annotated[
    Mapping[str, str], BeforeValidator(_flatten), AfterValidator(MappingProxyType)
]


def _sampling_field(name: str) -> Any:
    """Return the field of a sampling option, with the engine's default."""
    option = OPTIONS[name]
    return Field(option.default, description=f"{option.help[0].upper()}{option.help[1:]}.")


class Settings(BaseSettings):
    """All program-wide settings."""

    model_config = SettingsConfigDict(env_prefix=VARIABLE_PREFIX, extra="forbid", frozen=True)

    model: Path | None = Field(
        None,
        description="GGUF file or name of a model; not set = the starter model.",
        examples=["~/models/qwen.gguf"],
    )
    model_folders: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="More directories in which models are found."
    )
    max_sessions: int = Field(
        8, ge=1, le=MAX_SEQUENCES, description="Threads that can have a model context."
    )
    parallel: int = Field(1, ge=1, le=64, description="Answers written at the same time.")
    context_tokens: int | None = Field(
        None,
        ge=256,
        description="Context in tokens (prompt and answer); not set = that of the model.",
        examples=[8192],
    )
    max_output_tokens: int = Field(2048, description="Maximum length of an answer in tokens.")
    gpu_layers: int = Field(-1, ge=-1, description="Layers on the GPU; -1 = all that fit.")
    threads: int | None = Field(
        None,
        ge=1,
        le=MAX_THREADS,
        description="CPU threads; not set = the number that is fastest at the moment.",
        examples=[4],
    )
    speculation: bool = Field(True, description="Decode repeated text in fewer steps.")
    chat_template: str | None = Field(
        None,
        description=f"Chat template: {', '.join(CHAT_TEMPLATES)} (plain text).",
        examples=[CHATML],
    )
    system: str | None = Field(
        None,
        description="System prompt of threads without their own.",
        examples=["Answer briefly."],
    )
    temperature: float = _sampling_field("temperature")
    top_k: int = _sampling_field("top_k")
    top_p: float = _sampling_field("top_p")
    min_p: float = _sampling_field("min_p")
    repeat_penalty: float = _sampling_field("repeat_penalty")
    seed: int | None = Field(None, description="Fixed seed; not set = random.", examples=[42])
    typical_p: float = _sampling_field("typical_p")
    top_n_sigma: float = _sampling_field("top_n_sigma")
    xtc_probability: float = _sampling_field("xtc_probability")
    xtc_threshold: float = _sampling_field("xtc_threshold")
    repeat_last_n: int = _sampling_field("repeat_last_n")
    frequency_penalty: float = _sampling_field("frequency_penalty")
    presence_penalty: float = _sampling_field("presence_penalty")
    dry_multiplier: float = _sampling_field("dry_multiplier")
    dry_base: float = _sampling_field("dry_base")
    dry_allowed_length: int = _sampling_field("dry_allowed_length")
    dry_penalty_last_n: int = _sampling_field("dry_penalty_last_n")
    dynatemp_range: float = _sampling_field("dynatemp_range")
    dynatemp_exponent: float = _sampling_field("dynatemp_exponent")
    mirostat: int = _sampling_field("mirostat")
    mirostat_tau: float = _sampling_field("mirostat_tau")
    mirostat_eta: float = _sampling_field("mirostat_eta")
    titles: bool = Field(True, description="Let the idle model write titles for new threads.")
    plain: bool = Field(
        False, description="Start the plain mode: lines of text for screen readers, no window."
    )
    low_bandwidth: bool = Field(
        False, description="Paint at most 5 times a second, and send only what changed."
    )
    notify: bool = Field(
        True, description="Ring the bell when an answer ends and the terminal has no focus."
    )
    line_length: int = Field(
        LINE_LENGTH,
        description="Maximum length of lines of messages in columns; off or 0 = the whole width.",
    )
    theme: str = Field("textual-dark", description="Name of the theme, built in or your own.")
    keys: KeyBindings = Field(
        default_factory=lambda: MappingProxyType({}),
        description='Keys of each command; several with commas, "none" for no key.',
    )

    @field_validator("model_folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Accept a list, or a string with the separator of PATH."""
        if isinstance(value, str):
            return tuple(each for each in value.split(os.pathsep) if each)
        return value

    @field_validator(*NUMBER_RANGES)
    @classmethod
    def _in_range(cls, value: float | None, info: ValidationInfo) -> float | None:
        allowed = NUMBER_RANGES[info.field_name or ""]
        if value is not None and value not in allowed:
            raise ValueError(f"It must be {allowed}")
        return value

    @field_validator("line_length", mode="before")
    @classmethod
    def _line_length(cls, value: object) -> int:
        """Accept "off" for 0."""
        try:
            return parse_line_length(str(value))
        except ValueError as error:
            raise ValueError(f"It must be {error}") from None

    @field_validator("chat_template")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in CHAT_TEMPLATES:
            raise ValueError(f"It must be one of {', '.join(CHAT_TEMPLATES)}")
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
        """Return the sources by priority: flags, environment, config.toml."""
        import tomllib

        table = tomllib.loads(read_config().decode("utf-8"))
        return init_settings, env_settings, InitSettingsSource(settings_cls, table)


def load_settings(**flags: Any) -> Settings:
    """Load and validate the settings; a flag that is None counts as not given.

    Raises `SettingsError` for the first invalid setting; its message never contains a value.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = [str(part) for part in first["loc"]] or ["settings"]
        if first["type"] == "extra_forbidden":
            raise invalid_setting_error(path, _unknown_setting_message(path[0])) from None
        reason = first["msg"].removeprefix("Value error, ")
        raise invalid_setting_error(path, reason, flag=path[0] in given) from None
    except InvalidVariable as error:
        name = next((name for name in Settings.model_fields if f'"{name}"' in str(error)), "")
        raise invalid_setting_error([name], "The value is not valid JSON") from None
    except (OSError, ValueError, RecursionError) as error:
        cause = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"Cannot read {paths.config_file()}: {cause}. Correct it first."
        ) from None


def invalid_setting_error(path: Sequence[str], reason: str, *, flag: bool = False) -> SettingsError:
    """Return the error of an invalid setting; its message names the place to correct."""
    return SettingsError(f"Setting {'.'.join(path)!r}: {reason}. Correct {_location(path, flag)}.")


def _location(path: Sequence[str], flag: bool) -> str:
    if flag:
        return "the option"
    line = config_line(path)
    in_file = f"{paths.config_file()}" if line is None else f"line {line} of {paths.config_file()}"
    if setting_origin(path[0]) is not Origin.ENVIRONMENT:
        return in_file
    # Tables of both sources are merged, so the invalid value may be in either.
    both = line is not None and len(path) > 1
    return f"{variable_name(path[0])} or {in_file}" if both else variable_name(path[0])


def _unknown_setting_message(name: str) -> str:
    matches = difflib.get_close_matches(name, Settings.model_fields, 1)
    return "There is no such setting" + (f" (did you mean {matches[0]!r}?)" if matches else "")
