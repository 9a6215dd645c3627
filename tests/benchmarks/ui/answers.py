"""Markdown text in the style of a model: as a stream of tokens, and as long threads."""

import re
from collections.abc import Iterator
from itertools import count

from koel_tui.protocol import ChatState, Message

FIRST_WORD = "Harbour"
"""The first word of the answer; no earlier text contains it."""
_ANSWER = f"""\
## {FIRST_WORD} notes {{n}}

The tide turns twice a day, and with it the whole town: boats lie in the mud until noon, then float
for six hours, and everybody who wants to *leave* has to do it **now**. Nobody writes this down,
because everybody who lives here has known it from childhood.

- Ropes have to be long enough for the ebb.
- Ladders are `fixed` to the quay, every twenty metres.
- A boat that lies on its keel needs legs.

```python
def level(hour: float, low: float = 0.4, high: float = 5.2) -> float:
    \"\"\"Return the depth at the quay in metres.\"\"\"
    phase = math.cos(2 * math.pi * hour / 12.42)
    return low + (high - low) * (1 + phase) / 2
```

A table of what is there, and how deep:

| Place | Depth | Rope |
|---|---|---|
| Quay | 5.2 m | 12 m |
| Mud | 0.4 m | 9 m |

> Leave with the first hour of the ebb, and come back with the last hour of the flood.

Whoever comes late waits outside, at anchor, and watches the lights go on one after another, first
along the water and then up the hill, until only the church is dark. It is not a bad evening.

"""
_TOKEN = re.compile(r"[ ]?\w{1,6}|\s+|[^\w\s]")
_QUESTION = "What do I have to know about the harbour, number {n}?"
_PARAGRAPHS = (
    "The **tide** turns twice a day, and with it the whole town: boats lie in the mud until noon, "
    "then float for six hours.\n\n- Ropes have to be `long` enough.\n- A boat needs legs.\n\n"
    "Nobody writes this down, because everybody knows it. That was answer {name}{n}."
)


def tokens() -> Iterator[str]:
    """Yield an endless answer in pieces of about four characters, like the tokens of a model."""
    for number in count(1):
        yield from _TOKEN.findall(_ANSWER.format(n=number))


def last_text(messages: int, name: str = "") -> str:
    """Return the last line of a history of this length."""
    return f"{name}{messages - 1}."


def history(messages: int, name: str = "") -> ChatState:
    """Return a thread of `messages` messages, alternating questions and answers."""
    return ChatState(
        messages=tuple(
            Message(f"q{n}", "user", _QUESTION.format(n=n))
            if n % 2 == 0
            else Message(f"a{n}", "assistant", _PARAGRAPHS.format(n=n, name=name))
            for n in range(messages)
        )
    )
