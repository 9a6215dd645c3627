"""Value types of the engine API: frozen dataclasses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from koel_tui.engine.errors import UnsupportedError
from koel_tui.limits import MAX_SEQUENCES, MAX_THREADS
from koel_tui.protocol.turn_settings import TurnSettings

FinishReason = Literal["end", "length", "stopped", "tool_calls", "error"]
"""The reason why a turn ended: end of answer, token limit, stopped, tool calls to run, error."""
KvType = Literal["f16", "q8_0"]
CONTEXT_STEP = 256
"""llama.cpp rounds the context size up to a multiple of this."""
DEFAULT_CONTEXT_TOKENS = 8192
"""Maximum default context size in tokens."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """The model file and how to load it. Raises ValueError for a number out of range.

    `path` is the GGUF file. `context_tokens` is the context size of each session, prompt and
    answer together; None means that of the model, at most 8192. `gpu_layers` -1 puts the layers on
    a GPU that fit into its free memory. `threads` is the number of CPU threads, 1 to 512; None
    means the number that is fastest at the moment, at most one per physical core. `batch_tokens` is
    the maximum prefill step. `kv_type` is the KV cache format; q8_0 takes 17/32 of the bytes of
    f16. `mmap` maps the file instead of reading it. `slots` is how many sessions are in the context
    at once at most, 1 to 256, llama.cpp's limit; None means as many as fit a quarter of the free
    memory, that of the GPU for the layers on it. The context has fewer slots until they are used.
    `lora` is the default adapter file of sessions. `mmproj` is a projector for images and sound; an
    engine without support for these refuses it. With `speculation`, tokens that an answer probably
    repeats are decoded together. That is faster, and each token has the same probabilities, apart
    from rounding.
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
    speculation: bool = True

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
        if not isinstance(self.speculation, bool):
            raise ValueError(f"speculation must be True or False, not {self.speculation!r}")
        if self.kv_type not in get_args(KvType):
            raise ValueError(f"kv_type must be f16 or q8_0, not {self.kv_type}")


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A tool call by the model: the tool `name` and its `arguments`, a JSON object as text.

    `id`, nine letters and digits, identifies the call in the message with its result.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of a conversation, the input of the chat template.

    `role` is system, user, assistant or tool, `content` the text, `name` the speaker. An answer may
    have `tool_calls`; a tool result, with the role tool, has the id of its call in `tool_call_id`.
    `thinking` is the thinking before an answer to be continued; the prompt contains it only in this
    case, and only if the chat template has thinking tags. With `thinking_is_open`, the model
    continues this thinking; otherwise it continues after it. Raises `UnsupportedError` for a
    `content` of parts, such as images, and TypeError for any other non-string `content` or
    `thinking`.
    """

    role: str
    content: str
    name: str | None = None
    tool_call_id: str | None = None
    tool_calls: tuple[ToolCallDelta, ...] = ()
    thinking: str = ""
    thinking_is_open: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.thinking, str):
            raise TypeError(f"The thinking of a message must be a string, not {self.thinking!r}")
        if isinstance(self.content, str):
            return
        if isinstance(self.content, list | tuple):
            raise UnsupportedError(
                "The content of a message must be one text: this engine accepts no content parts, "
                "such as images, audio or documents. Join the text parts and remove the others."
            )
        raise TypeError(f"The content of a message must be a string, not {self.content!r}")

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts that a prompt contains: the content, the name and arguments of each call."""
        calls = (text for call in self.tool_calls for text in (call.name, call.arguments))
        return (self.content, *calls)

    @property
    def begins_answer(self) -> bool:
        """True if the model continues this message if it is the last one of a conversation."""
        return self.role == "assistant" and not self.tool_calls


def text_size(messages: Iterable[ChatMessage]) -> int:
    """Return the number of characters of the contents of messages, for `trim_to_fit`."""
    return sum([len(message.content) for message in messages])


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer; `text` has whole characters only."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the model's thinking before the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a turn before its answer; sent only on request.

    `phase` is queued, reading or thinking. In queued, `position` is the queue position, 1 is next;
    in reading, `done` of `total` prompt tokens are prefilled; in thinking, `done` tokens of hidden
    thinking are generated.
    """

    phase: Literal["queued", "reading", "thinking"]
    position: int = 0
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class SessionMetrics:
    """Metrics of a session's last turn; zeros before the first. Times in seconds.

    `reused_tokens` of the `prompt_tokens` were in the context already; `prefill_tokens_per_s` is
    the prefill speed of the others. `output_tokens` includes thinking; `decode_tokens_per_s` is the
    speed after the first of them. `time_to_first_token_s` is measured from the turn's start in the
    worker, `load_s` is the load time of the model. `seed` is the sampling seed of the turn.
    `snapshot_misses` is 1 if the snapshot given at opening was unusable and the conversation was
    prefilled again. `threads` is the number of CPU threads with which answers were decoded at the
    end of the turn. `drafted_tokens` were decoded ahead because the answer seemed to repeat earlier
    text; `accepted_tokens` of them were right.
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
    threads: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0

    @property
    def total(self) -> int:
        """Sum of prompt and output tokens."""
        return self.prompt_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Finished:
    """The last delta of every turn that ends without an error.

    `reason` is end, length, stopped or tool_calls; `trimmed_turns` is how many turns, the oldest
    ones, were omitted from the prompt because they did not fit the context.
    """

    reason: FinishReason
    trimmed_turns: int = 0
    metrics: SessionMetrics = SessionMetrics()


Delta = TextDelta | ThinkingDelta | ToolCallDelta | Progress | Finished
"""An item of a stream; `Progress` is sent on request, `Finished` once at the end."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of a session.

    `name` is its label. `lora` is the adapter file and `kv` the snapshot to restore; these two
    cannot change. `settings` are the defaults of each turn.
    """

    name: str = ""
    lora: Path | None = None
    kv: Path | None = None
    settings: TurnSettings = field(default_factory=TurnSettings)


@dataclass(frozen=True, slots=True)
class SessionMemory:
    """The KV cache size of one session: its number and the bytes of its tokens.

    They are in a slot of the context or, if `parked`, in host memory.
    """

    session: int
    kv_bytes: int
    parked: bool


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Memory use of the engine, in bytes.

    `weights_bytes` is the model, `context_bytes` all `slots` together, used or not; `sessions` is
    the use by session. `max_slots` is the number of slots up to which the context grows when more
    sessions are used; it becomes smaller if the memory is too small for that.
    """

    weights_bytes: int = 0
    context_bytes: int = 0
    sessions: tuple[SessionMemory, ...] = ()
    slots: int = 0
    max_slots: int = 0

    @property
    def parked_bytes(self) -> int:
        """Host memory of the parked sessions, in bytes."""
        return sum(each.kv_bytes for each in self.sessions if each.parked)


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Properties of a loaded model; `name` is its file name.

    `context_tokens` is the context size of each session, rounded up to a multiple of 256,
    `slots` how many sessions are in the context at once at most, `load_s` the load time in seconds.
    `has_template` is whether the file has a chat template; without one each turn must name one.
    `trained_tokens` is the context size of the training, 0 if the file has none.
    `fitting_template` is the built-in template that fits the vocabulary, '' if none does.
    `cpu_layers` of the `layers` are on the CPU because the memory of the GPU is too small.
    `file_notice` is a warning about the file, '' if there is none.
    """

    name: str
    context_tokens: int
    slots: int
    load_s: float
    has_template: bool = True
    trained_tokens: int = 0
    fitting_template: str = ""
    layers: int = 0
    cpu_layers: int = 0
    file_notice: str = ""

    @property
    def notice(self) -> str:
        """The warnings for the user about the model, '' if there are none."""
        notices = (self._context_notice, self._gpu_notice, self.file_notice)
        return " ".join(filter(None, notices))

    @property
    def _gpu_notice(self) -> str:
        if not self.cpu_layers:
            return ""
        return (
            f"{self.cpu_layers} of the {self.layers} layers of {self.name} do not fit into the "
            "free memory of the GPU and run on the CPU, so answers are slower. Close other "
            "programs that use the GPU, or use a smaller context (--context-tokens) or a smaller "
            "file."
        )

    @property
    def _context_notice(self) -> str:
        if not 0 < self.trained_tokens <= self.context_tokens - CONTEXT_STEP:
            return ""
        return (
            f"The context of {self.context_tokens:,} tokens is larger than the "
            f"{self.trained_tokens:,} that {self.name} was trained for. Longer conversations get "
            f"useless answers. Use --context-tokens {self.trained_tokens}."
        )
