"""How a thread is answered: the settings of its turns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from koel_tui.engine import Sampling


@dataclasses.dataclass(frozen=True, slots=True)
class TurnSettings:
    """How a thread is answered.

    `system` is the system prompt of conversations that bring none, `sampling` how tokens are drawn.
    `max_output_tokens` is the longest answer, None what the window has room for, `thinking` whether
    the model thinks first, `lora` the path of an adapter file, `chat_template` the name of a
    built-in one, None for the model's own.
    """

    system: str | None = None
    sampling: Sampling = dataclasses.field(default_factory=Sampling)
    max_output_tokens: int | None = None
    thinking: bool = False
    lora: str | None = None
    chat_template: str | None = None

    def overridden(self, props: Mapping[str, Any]) -> "TurnSettings":
        """Return these settings with what a run's `forwardedProps` says of them.

        Known keys: the fields of this class, `sampling` as a mapping of `Sampling`'s fields.
        Raises ValueError or TypeError for a value that is not allowed.
        """
        sampling = self.sampling
        if isinstance(props.get("sampling"), Mapping):
            known = {field.name for field in dataclasses.fields(Sampling)}
            wanted = {key: value for key, value in props["sampling"].items() if key in known}
            sampling = dataclasses.replace(sampling, **wanted)
        plain = ("system", "max_output_tokens", "thinking", "lora", "chat_template")
        given = {key: props[key] for key in plain if key in props}
        return dataclasses.replace(self, sampling=sampling, **given)
