"""The settings of a thread, saved with it and merged over the app's defaults for each run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from koel_tui.protocol.turn_settings import (
    OUTPUT_TOKENS,
    RANGES,
    THINKING_TOKENS,
    Range,
    Sampling,
    TurnSettings,
)
from koel_tui.sampling_options import LOGIT_BIAS

SAMPLING = (*RANGES, LOGIT_BIAS)
"""The names of the `Sampling` fields that a thread may set."""


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """The settings of a thread. None, and a name not in `sampling`, selects the app's default.

    `system` is the system prompt, `sampling` maps names of `Sampling` fields to values, `model` is
    a model file or name, `lora` an adapter file, `max_output_tokens` the maximum length of an
    answer in tokens. `thinking` is whether the model thinks first; a number is the maximum of
    thinking tokens. `chat_template` is the name of a built-in template, `stop` are strings that end
    an answer. `unusable` are invalid saved values: they have no effect and are saved again
    unchanged, so that nothing is lost.
    """

    system: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_output_tokens: int | None = None
    thinking: bool | int | None = None
    model: str | None = None
    lora: str | None = None
    chat_template: str | None = None
    stop: tuple[str, ...] | None = None
    unusable: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Return the settings saved with a thread; invalid values go to `unusable`."""
        sampling = meta.get("sampling")
        read = cls(
            system=_text(meta.get("system")),
            sampling=_sampling(sampling) if isinstance(sampling, Mapping) else {},
            max_output_tokens=_if_allowed(OUTPUT_TOKENS, meta.get("max_output_tokens")),
            thinking=_thinking(meta.get("thinking")),
            model=_text(meta.get("wanted_model")),
            lora=_text(meta.get("lora")),
            chat_template=_chat_template(meta.get("chat_template")),
            stop=_stop(meta.get("stop")),
        )
        return replace(read, unusable=_unusable(meta, read.meta))

    @property
    def unusable_names(self) -> tuple[str, ...]:
        """The names of the settings whose saved values are invalid."""
        sampling = self.unusable.get("sampling")
        options = tuple(sampling) if isinstance(sampling, Mapping) else ()
        others = (name for name in self.unusable if not (name == "sampling" and options))
        return (*options, *("model" if name == "wanted_model" else name for name in others))

    @property
    def meta(self) -> dict[str, Any]:
        """The fields to save with the thread, None for unset ones."""
        sampling = dict(self.sampling)
        if LOGIT_BIAS in sampling:  # keys of JSON objects are strings
            sampling[LOGIT_BIAS] = {
                str(token): bias for token, bias in sampling[LOGIT_BIAS].items()
            }
        # The key `model` is in use for the model that answered last.
        meta = {
            "system": self.system,
            "sampling": sampling or None,
            "max_output_tokens": self.max_output_tokens,
            "thinking": self.thinking,
            "wanted_model": self.model,
            "lora": self.lora,
            "chat_template": self.chat_template,
            "stop": None if self.stop is None else list(self.stop),
        }
        unusable = {name: each for name, each in self.unusable.items() if meta.get(name) is None}
        saved = self.unusable.get("sampling")
        if sampling and isinstance(saved, Mapping):
            unusable["sampling"] = {**saved, **sampling}
        return meta | unusable

    def turn_settings(self, defaults: TurnSettings) -> TurnSettings:
        """Return the settings of a run: those of the thread over the app's `defaults`.

        Raises ValueError with the allowed range for an invalid value.
        """
        sampling = None
        if self.sampling:
            sampling = (defaults.sampling or Sampling()).with_values(self.sampling)
        thread_settings = TurnSettings(
            system=self.system,
            sampling=sampling,
            max_output_tokens=self.max_output_tokens,
            thinking=self.thinking,
            stop=self.stop,
            chat_template=self.chat_template,
        )
        return thread_settings.over(defaults)


def _unusable(saved: Mapping[str, Any], parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the saved settings that could not be parsed, for `sampling` the invalid options."""
    unusable = {
        name: saved[name]
        for name, value in parsed.items()
        if value is None and saved.get(name) is not None
    }
    sampling = saved.get("sampling")
    if isinstance(sampling, Mapping):
        known = parsed["sampling"] or {}
        options = {name: each for name, each in sampling.items() if name not in known}
        unusable["sampling"] = {name: each for name, each in options.items() if each is not None}
    return {name: value for name, value in unusable.items() if value != {}}


def _sampling(saved: Mapping[str, Any]) -> dict[str, Any]:
    sampling = {name: saved[name] for name in RANGES if saved.get(name) in RANGES[name]}
    bias = _bias(saved.get(LOGIT_BIAS))
    return {**sampling, LOGIT_BIAS: bias} if bias else sampling


def _bias(saved: Any) -> dict[int, float] | None:
    if not isinstance(saved, Mapping):
        return None
    try:
        return dict(Sampling(logit_bias={int(key): bias for key, bias in saved.items()}).logit_bias)
    except (TypeError, ValueError):
        return None


def _thinking(saved: Any) -> bool | int | None:
    return saved if isinstance(saved, bool) else _if_allowed(THINKING_TOKENS, saved)


def _chat_template(saved: Any) -> str | None:
    try:
        return TurnSettings(chat_template=saved).chat_template
    except ValueError:
        return None


def _stop(saved: Any) -> tuple[str, ...] | None:
    if not isinstance(saved, Sequence) or isinstance(saved, str):
        return None
    stop = tuple(saved)
    return stop if stop and all(isinstance(each, str) and each for each in stop) else None


def _text(saved: Any) -> str | None:
    return saved if isinstance(saved, str) else None


def _if_allowed(allowed: Range, saved: Any) -> Any:
    return saved if saved in allowed else None
