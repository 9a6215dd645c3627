"""How a thread wants to be answered: saved with it, and sent with each of its runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed")
"""The names of `koel_tui.engine.Sampling` that a thread may set."""

_WHOLE = ("top_k", "seed")


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """What is None, and a name not in `sampling`, is left to the settings of the program.

    `system` is the system prompt, `model` a model file or the name of one, `lora` an adapter file,
    `max_output_tokens` the longest answer in tokens, `thinking` whether the model thinks first,
    `chat_template` the name of one that is built in.
    """

    system: str | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    max_output_tokens: int | None = None
    thinking: bool | None = None
    model: str | None = None
    lora: str | None = None
    chat_template: str | None = None

    @classmethod
    def of_meta(cls, meta: Mapping[str, Any]) -> Self:
        """Return what is saved with a thread; what is not as it should be is left out."""
        sampling = meta.get("sampling")
        known = sampling if isinstance(sampling, Mapping) else {}
        return cls(
            system=_of(str, meta.get("system")),
            sampling={name: known[name] for name in SAMPLING if _fits(name, known.get(name))},
            max_output_tokens=_of(int, meta.get("max_output_tokens")),
            thinking=_of(bool, meta.get("thinking")),
            model=_of(str, meta.get("wanted_model")),
            lora=_of(str, meta.get("lora")),
            chat_template=_of(str, meta.get("chat_template")),
        )

    @property
    def meta(self) -> dict[str, Any]:
        """The fields to save with the thread, None for what is not set."""
        # `model` is there already: the one that answered last.
        return {
            "system": self.system,
            "sampling": dict(self.sampling) or None,
            "max_output_tokens": self.max_output_tokens,
            "thinking": self.thinking,
            "wanted_model": self.model,
            "lora": self.lora,
            "chat_template": self.chat_template,
        }

    @property
    def forward(self) -> dict[str, Any]:
        """What is sent with each run, as `forwardedProps`."""
        props = {**self.meta, "model": self.model}
        del props["wanted_model"]
        return {name: value for name, value in props.items() if value is not None}


def _fits(name: str, value: object) -> bool:
    if type(value) is int:
        return abs(value) < 2**32
    return type(value) is float and math.isfinite(value) and name not in _WHOLE


def _of(kind: type, value: Any) -> Any:
    return value if type(value) is kind else None
