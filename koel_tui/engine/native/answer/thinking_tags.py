"""The tags with which a model marks its thinking, found in its chat template."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags before and after a block of thinking."""

    start: str
    end: str

    @property
    def is_channel(self) -> bool:
        """True if the format has channels, so that thinking may also begin later in the answer."""
        return self.start.startswith("<|channel")

    @property
    def line_break(self) -> str:
        """The text that a model writes between its thinking and the tags: a line break or ''."""
        return "" if self.start.endswith(("|>", "]")) else "\n"

    @property
    def closing(self) -> str:
        """The text with which a model ends its thinking before the answer."""
        return self.end if self.is_channel else f"{self.end}\n\n"


HARMONY = Tags(
    "<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"
)
"""The tags around the thinking of gpt-oss."""
HARMONY_TURN = "<|start|>assistant"
"""The end of a prompt in the format of gpt-oss."""
HARMONY_TEXT = "<|channel|>final<|message|>"
"""The tags before an answer of gpt-oss that has no thinking."""

KNOWN_TAGS = (
    Tags("<think>", "</think>"),
    Tags("<|channel>thought", "<channel|>"),
    Tags("[THINK]", "[/THINK]"),
    Tags("<thinking>", "</thinking>"),
    Tags("<reasoning>", "</reasoning>"),
    Tags("<seed:think>", "</seed:think>"),
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    HARMONY,
)
"""The thinking tags of known models."""

_DEFAULT_TAGS = KNOWN_TAGS[:2]


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """The thinking tags of a model.

    `declared` is whether the template contains them; otherwise the usual ones are assumed.
    """

    thinking: tuple[Tags, ...] = _DEFAULT_TAGS
    declared: bool = True

    @classmethod
    def from_template(cls, source: str) -> Self:
        """Return the thinking tags found in the source of a chat template."""
        declared = tuple(tags for tags in KNOWN_TAGS if tags.start in source or tags.end in source)
        return cls(declared) if declared else cls(declared=False)

    def find_open_tags(self, prompt: str) -> Tags | None:
        """Return the tags of the thinking block that the end of the prompt opens, or None.

        The templates of many reasoning models end like this; the answer then starts inside the
        block.
        """
        if not self.declared:
            return None  # the template writes no tags, so these come from a message
        end = prompt.rstrip()
        return next((tags for tags in self.thinking if end.endswith(tags.start)), None)
