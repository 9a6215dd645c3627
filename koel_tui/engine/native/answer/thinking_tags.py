"""The tags with which a model marks its thinking, found in its chat template."""

import re
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
    Tags("<|begin_of_thought|>", "<|end_of_thought|>"),
    Tags("<|inner_prefix|>", "<|inner_suffix|>"),
    HARMONY,
)
"""The thinking tags of known models."""

_DEFAULT_TAGS = KNOWN_TAGS[:2]
_NAME = r"[\w:]*(?:think|thinking|thoughts?|reason|reasoning)"
_END_TAG = re.compile(
    rf"<\|?/{_NAME}\|?>|</\|{_NAME}\|>|\[/{_NAME}\]|\u25c1/{_NAME}\u25b7", re.IGNORECASE
)
"""An end tag in a template, if its start tag is the same without the slash."""

_ANSWER_TAGS = (
    Tags("<response>", "</response>"),
    Tags("<answer>", "</answer>"),
    Tags("<|begin_of_solution|>", "<|end_of_solution|>"),
    Tags("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
)
"""The tags around the text of an answer: Granite 3, Hunyuan, Sky-T1, Command A."""


@dataclass(frozen=True, slots=True)
class ThinkingTags:
    """The thinking tags of a model.

    `declared` is whether the template contains them; otherwise the usual ones are assumed. `answer`
    are the tags around the text of the whole answer.
    """

    thinking: tuple[Tags, ...] = _DEFAULT_TAGS
    declared: bool = True
    answer: tuple[Tags, ...] = ()

    @classmethod
    def from_template(cls, source: str) -> Self:
        """Return the thinking tags found in the source of a chat template."""
        known = [tags for tags in KNOWN_TAGS if tags.start in source or tags.end in source]
        named = [Tags(end.replace("/", "", 1), end) for end in _END_TAG.findall(source)]
        declared = tuple(dict.fromkeys((*known, *named)))
        if not declared:
            return cls(declared=False)
        answer = (tags for tags in _ANSWER_TAGS if tags.start in source and tags.end in source)
        return cls(declared, answer=tuple(answer))

    def find_open_tags(self, prompt: str) -> Tags | None:
        """Return the tags of the thinking block that the end of the prompt opens, or None.

        The templates of many reasoning models end like this; the answer then starts inside the
        block.
        """
        if not self.declared:
            return None  # the template writes no tags, so these come from a message
        end = prompt.rstrip()
        return next((tags for tags in self.thinking if end.endswith(tags.start)), None)
