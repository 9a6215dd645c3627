"""The requests of the state machine over an `EngineHost`, and the records it keeps of them."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from koel_tui.chat_templates import BUILT_IN_TEMPLATES, OWN_TEMPLATE, RAW_COMPLETION
from koel_tui.engine import ChatMessage, Delta, EngineSession, Sampling, TurnSettings
from koel_tui.engine.turn import TurnStream
from tests.engine.host_rig import SHORT

EXACT_TOKENS = 480
"""Greedy answers with at least this many tokens, prompt included, may differ between runs."""
CONVERSATIONS = [
    SHORT,
    (ChatMessage("user", "a long text, " * 10), ChatMessage("assistant", "yes"), *SHORT),
    (ChatMessage("system", "Be kind."), *SHORT),
    (*SHORT, ChatMessage("assistant", "begun")),
    (ChatMessage("user", "x" * 300),),
]
SAMPLINGS = [
    Sampling(temperature=0),
    Sampling(temperature=0, repeat_penalty=1.1, dry_multiplier=0.5, logit_bias={100: -1.0}),
    Sampling(seed=1, top_n_sigma=2.0, xtc_probability=0.3, dynatemp_range=0.2),
    Sampling(mirostat=1),
    Sampling(mirostat=2),
]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
NATIVE = [
    "llama_adapter_lora_init", "llama_decode", "llama_get_logits_ith", "llama_memory_seq_pos_min",
    "llama_memory_seq_rm", "llama_model_get_vocab", "llama_sampler_accept",
    "llama_sampler_apply", "llama_sampler_chain_add", "llama_sampler_chain_default_params",
    "llama_sampler_chain_init", "llama_sampler_chain_n",
    "llama_sampler_free", "llama_sampler_init_dist", "llama_sampler_init_dry",
    "llama_sampler_init_grammar", "llama_sampler_init_greedy", "llama_sampler_init_logit_bias",
    "llama_sampler_init_min_p", "llama_sampler_init_mirostat", "llama_sampler_init_mirostat_v2",
    "llama_sampler_init_penalties", "llama_sampler_init_temp", "llama_sampler_init_temp_ext",
    "llama_sampler_init_top_k", "llama_sampler_init_top_n_sigma", "llama_sampler_init_top_p",
    "llama_sampler_init_typical", "llama_sampler_init_xtc", "llama_sampler_sample",
    "llama_set_abort_callback", "llama_set_adapters_lora", "llama_state_seq_get_data_ext",
    "llama_state_seq_get_size_ext", "llama_state_seq_set_data_ext", "llama_synchronize",
    "llama_token_to_piece",
    "llama_tokenize", "llama_vocab_bos", "llama_vocab_eos", "llama_vocab_get_add_bos",
    "llama_vocab_get_add_eos", "llama_vocab_is_eog", "llama_vocab_n_tokens",
]  # fmt: skip
"""The native calls of opening, a turn, parking, saving, restoring and closing."""
GROWTH = [
    "llama_context_default_params", "llama_free",
    "llama_get_memory", "llama_init_from_model", "llama_n_batch", "llama_n_ctx_seq",
    "llama_state_seq_get_data_ext", "llama_state_seq_get_size_ext",
]  # fmt: skip
"""The native calls that replace the context by one with more slots."""
EVERY_TURN = [
    *(TurnSettings(sampling=each, max_output_tokens=4) for each in SAMPLINGS),
    TurnSettings(sampling=SAMPLINGS[0], max_output_tokens=4, schema=SCHEMA),
    TurnSettings(sampling=SAMPLINGS[0], max_output_tokens=4, chat_template=RAW_COMPLETION),
]
"""Turn settings that together cause every native call of a turn."""


class CallerError(Exception):
    """The error that the caller's objects raise."""


class RaisingPath:
    def __fspath__(self) -> str:
        raise CallerError


class RaisingMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise CallerError

    def __iter__(self) -> Iterator[str]:
        raise CallerError

    def __len__(self) -> int:
        return 1


POISON: list[Mapping[str, Any]] = [
    {"type": "object", "default": object()},
    RaisingMapping(),
]
TURN_SETTINGS = st.builds(
    TurnSettings,
    system=st.sampled_from([None, "", "Be brief."]),
    sampling=st.sampled_from([None, *SAMPLINGS]),
    max_output_tokens=st.sampled_from([1, 6, 40, 300]),
    thinking=st.sampled_from([None, False, True, 8]),
    tools=st.sampled_from([None, (), (TOOL,)]),
    tool_choice=st.sampled_from([None, "auto", "none"]),
    schema=st.sampled_from([None, None, SCHEMA]),
    stop=st.sampled_from([None, (), ("e", "xyz")]),
    chat_template=st.sampled_from(
        [None, OWN_TEMPLATE, RAW_COMPLETION, *sorted(BUILT_IN_TEMPLATES)[:2]]
    ),
    prefill=st.sampled_from([None, "", "ab"]),
)
SESSION = st.integers(0, 3)
FAULTS = st.none() | st.tuples(
    st.sampled_from(sorted({*NATIVE, *GROWTH})),
    st.integers(0, 2),
    st.sampled_from(["RuntimeError", "KeyError", "MemoryError", "OSError"]),
)
ACTIONS = st.sampled_from(
    ["read", "read on", "cancel the reader", "abandon", "aclose", "stop", "finish", "finish",
     "save", "save and leave", "close", "close and save", "close, save and leave", "add"]
)  # fmt: skip
TURNS = st.integers(0, 6)
LORAS = st.integers(0, 2)


@dataclass(eq=False)
class Reading:
    """The stream of a turn, and the text read from it."""

    session: EngineSession
    stream: TurnStream
    settings: TurnSettings
    messages: tuple[ChatMessage, ...] | None
    """The messages to answer; None until the first read, which uses the history."""
    poisoned: bool
    hits: int
    """The number of calls that had raised before the turn began."""
    text: str = ""
    stopped: bool = False
    over: bool = False
    task: asyncio.Task[Delta | None] | None = None

    def __repr__(self) -> str:
        return f"{'task of ' if self.task else ''}{self.settings}"


@dataclass
class FinishedAnswer:
    """A greedy answer that was read to its end."""

    messages: tuple[ChatMessage, ...]
    settings: TurnSettings
    lora: Path | None
    text: str


@dataclass(eq=False)
class Held:
    """An open session and its turn."""

    session: EngineSession
    reading: Reading | None = None

    def __repr__(self) -> str:
        return f"session {self.session.number}, reading {self.reading}"
