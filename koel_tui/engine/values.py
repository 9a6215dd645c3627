"""The values an engine takes and gives: all frozen, all plain data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from koel_tui.engine.errors import UnsupportedError
from koel_tui.llama_limits import MAX_SEQUENCES, MAX_THREADS
from koel_tui.protocol.turn_settings import TurnSettings

FinishReason = Literal["end", "length", "stopped", "tool_calls", "error"]
"""Why a turn ended: by itself, at the longest answer, stopped, with tools to call, by an error."""
KvType = Literal["f16", "q8_0"]
WINDOW_STEP = 256
"""llama.cpp rounds a window up to a multiple of this."""
DEFAULT_WINDOW = 8192
"""The largest window, in tokens, that is taken without being asked for."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model file to load and how. Raises ValueError for a number out of its range.

    `path` is the GGUF file. `context_tokens` is the window of each session, prompt and answer
    together; None takes the model's own, at most 8192. `gpu_layers` -1 puts all layers on a GPU
    that is there. `threads` None means one per physical core: with more, decoding is several
    times slower; llama.cpp takes at most 512. `batch_tokens` is the largest prefill step.
    `kv_type` is how the context is kept, q8_0 taking 17/32 of the bytes of f16. `mmap` maps the
    file instead of reading it. `slots` is how many sessions stay in the context at once, 1 to
    256, llama.cpp's limit; None makes as many as fit a quarter of the free memory. `lora` is
    the adapter file of sessions that name none. `mmproj`, a projector for images and sound, is
    refused by an engine that has neither.
    """

    path: Path
    context_tokens: int | None = None
    gpu_layers: int = -1
    threads: int | None = None
    batch_tokens: int = 512
    kv_type: KvType = "f16"
    mmap: bool = True
    slots: int | None = None
    lora: Path | None = None
    mmproj: Path | None = None

    def __post_init__(self) -> None:
        for name in ("path", "lora", "mmproj"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        if self.context_tokens is not None and self.context_tokens < 1:
            raise ValueError(f"context_tokens must be at least 1, not {self.context_tokens}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise ValueError(f"threads must be 1 to {MAX_THREADS}, not {self.threads}")
        if self.slots is not None and not 1 <= self.slots <= MAX_SEQUENCES:
            raise ValueError(f"slots must be 1 to {MAX_SEQUENCES}, not {self.slots}")
        if not 1 <= self.batch_tokens <= 65_536:
            raise ValueError(f"batch_tokens must be 1 to 65536, not {self.batch_tokens}")
        if self.kv_type not in get_args(KvType):
            raise ValueError(f"kv_type must be f16 or q8_0, not {self.kv_type}")


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A tool call the model made: of the tool `name`, with `arguments`, the JSON text of an object.

    `id`, nine letters and digits, is the one its result goes by.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation as the chat template sees it.

    `role` is system, user, assistant or tool, `content` the text, `name` who speaks. An answer may
    have `tool_calls`; the result of one, of the role tool, names it in `tool_call_id`. `thinking`
    is what the model thought before an answer to go on with; it stands in the prompt only there,
    and only where the chat template has thinking tags. Raises `UnsupportedError` for a `content` of
    parts, such as images, and TypeError for another one, or for `thinking`, that is no text.
    """

    role: str
    content: str
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    thinking: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.thinking, str):
            raise TypeError(f"The thinking of a message must be a string, not {self.thinking!r}")
        if isinstance(self.content, str):
            return
        if isinstance(self.content, list | tuple):
            raise UnsupportedError(
                "The content of a message must be one text: this engine takes no content parts, "
                "such as images, audio or documents. Join the text parts, and leave out the others."
            )
        raise TypeError(f"The content of a message must be a string, not {self.content!r}")

    @property
    def begins_answer(self) -> bool:
        """Whether this message, being the last of a conversation, is an answer to go on with."""
        return self.role == "assistant" and not self.tool_calls


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer; `text` never ends within a character."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece, `text`, of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a turn stands before it writes; only sent to who asks for it.

    `phase` is queued, reading or thinking. `position` counts from 1 (next in line) while queued;
    `done` of `total` prompt tokens are decoded while reading; `done` tokens of thinking that is not
    shown are written while thinking.
    """

    phase: Literal["queued", "reading", "thinking"]
    position: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """Figures of a session's last turn; zeros before the first. Times in seconds.

    Of the `prompt_tokens`, `reused_tokens` were in the context already; `prefill_tokens_per_s` is
    how fast the others were read. `output_tokens` were written, thinking included, after the first
    of them at `decode_tokens_per_s`. `time_to_first_token_s` counts from the turn's start on the
    native side, `load_s` is what loading the model took. `seed` is the one that was used,
    `snapshot_misses` is 1 when the snapshot the session was opened with could not be used and the
    conversation was read again.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    output_tokens: int = 0
    time_to_first_token_s: float = 0.0
    prefill_tokens_per_s: float = 0.0
    decode_tokens_per_s: float = 0.0
    load_s: float = 0.0
    seed: int | None = None
    snapshot_misses: int = 0

    @property
    def total(self) -> int:
        """Prompt and output tokens together."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Finished:
    """The last delta of every turn that ends without an error.

    `reason` is end, length, stopped or tool_calls; `trimmed_turns` is how many turns were left out
    of the prompt, the oldest first, as the window had no room for them; `metrics` are the figures.
    """

    reason: FinishReason
    trimmed_turns: int = 0
    metrics: SessionMetrics = SessionMetrics()


Delta = TextDelta | ThinkingDelta | ToolCallDelta | Progress | Finished
"""What a stream gives; `Progress` only when asked for, `Finished` once and last."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What a session was opened with.

    `name` is its label. `lora` is the adapter its context is computed with and `kv` the snapshot
    it starts from; these two cannot change. `settings` apply to each turn that has no others.
    """

    name: str = ""
    lora: Path | None = None
    kv: Path | None = None
    settings: TurnSettings = field(default_factory=TurnSettings)


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """The KV cache of one `session`, by number: `kv_bytes` of its tokens.

    They are in a slot of the context, or `parked` in host memory.
    """

    session: int
    kv_bytes: int
    parked: bool


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """What the engine holds in memory, in bytes.

    `weights_bytes` is the model, `context_bytes` what all slots take together, whoever is in them;
    `sessions` says whose tokens are where.
    """

    weights_bytes: int = 0
    context_bytes: int = 0
    sessions: tuple[SessionMemory, ...] = ()

    @property
    def parked_bytes(self) -> int:
        """Host memory of the parked sessions, in bytes."""
        return sum(each.kv_bytes for each in self.sessions if each.parked)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a loaded model says of itself: its `name`, that of its file.

    `context_tokens` is the window of each session, a multiple of 256 as llama.cpp rounds it up,
    `slots` how many sessions stay in the context, `load_s` the seconds it took to load.
    `has_template` is whether the file has a chat template; without one each turn must name one.
    `trained_tokens` is the longest context the model was trained for, 0 where the file names none.
    `fitting_template` is the built-in template that fits the vocabulary, '' when none does.
    """

    name: str
    context_tokens: int
    slots: int
    load_s: float
    has_template: bool = True
    trained_tokens: int = 0
    fitting_template: str = ""

    @property
    def notice(self) -> str:
        """A sentence for the user about a window that the model cannot use, '' for any other."""
        if not 0 < self.trained_tokens <= self.context_tokens - WINDOW_STEP:
            return ""
        return (
            f"The window of {self.context_tokens:,} tokens is larger than the "
            f"{self.trained_tokens:,} that {self.name} was trained for. Longer conversations get "
            f"useless answers. Use --context-tokens {self.trained_tokens}."
        )
