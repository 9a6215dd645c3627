"""Dialects: how a model marks its thinking, as far as its chat template tells."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Tags:
    """What stands before and after a piece of thinking."""

    start: str
    end: str

    @property
    def is_channel(self) -> bool:
        """Whether the answer goes on in channels, so that thinking may begin later, too."""
        return self.start.startswith("<|channel")

    @property
    def line_break(self) -> str:
        """What a model writes between its thinking and the tags: a line break, or nothing."""
        return "" if self.start.endswith(("|>", "]")) else "\n"

    @property
    def closing(self) -> str:
        """The end of thinking as a model writes it before its answer."""
        return self.end if self.is_channel else f"{self.end}\n\n"


KNOWN_TAGS = (
    Tags("<think>", "</think>"),
    Tags("<|channel>thought", "<channel|>"),
    Tags("[THINK]", "[/THINK]"),
    Tags("<thinking>", "</thinking>"),
    Tags("<reasoning>", "</reasoning>"),
    Tags("<seed:think>", "</seed:think>"),
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),
    Tags(
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
)
"""The tags models are known to use."""

_USUAL_TAGS = KNOWN_TAGS[:2]


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """The thinking tags of a model.

    `declared` says whether the template writes them; the usual ones are assumed otherwise.
    """

    thinking: tuple[Tags, ...] = _USUAL_TAGS
    declared: bool = True

    @classmethod
    def of_template(cls, source: str) -> Self:
        """Return the dialect that the source of a chat template shows."""
        declared = tuple(tags for tags in KNOWN_TAGS if tags.start in source or tags.end in source)
        return cls(declared) if declared else cls(declared=False)

    def left_open(self, prompt: str) -> Tags | None:
        """Return the tags of a block of thinking that the end of the prompt begins, if any.

        The template of many a reasoning model ends so, and the answer starts inside the block.
        """
        if not self.declared:
            return None  # the template writes no tags, so these are somebody's text
        end = prompt.rstrip()
        return next((tags for tags in self.thinking if end.endswith(tags.start)), None)
