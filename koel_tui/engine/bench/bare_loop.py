"""The reference of the benchmark: a bare loop of llama.cpp calls with greedy sampling.

`python -m koel_tui.engine.bench.bare_loop MODEL CONTEXT_TOKENS PROMPT OUTPUT SEQUENCES`
prints a JSON object. It runs as a child process, so that the benchmark need not load llama.cpp.
The answer is generated with several numbers of CPU threads, to compare with the best one.
"""

import ctypes
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import llama_cpp

from koel_tui.engine.cpu_count import usable_cores
from koel_tui.engine.native.weights import default_load_params

_BATCH = 512
PositionedToken = tuple[int, int, int]
"""A token, its position and its sequence."""


class BareLoop:
    """A model and a context with `sequences` streams and the settings of the engine."""

    def __init__(self, path: str, context_tokens: int, sequences: int) -> None:
        model = llama_cpp.llama_model_load_from_file(path.encode(), default_load_params())
        if not model:
            sys.exit(f"cannot load {path}")
        self.vocab = llama_cpp.llama_model_get_vocab(model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = context_tokens * sequences
        params.n_seq_max = sequences
        params.kv_unified = False
        params.n_batch = params.n_ubatch = _BATCH
        params.n_threads = params.n_threads_batch = usable_cores()
        self.context = llama_cpp.llama_init_from_model(model, params)
        if not self.context:
            sys.exit(f"cannot make a context of {sequences} times {context_tokens} tokens")
        chain = llama_cpp.llama_sampler_chain_default_params()
        self.sampler = llama_cpp.llama_sampler_chain_init(chain)
        llama_cpp.llama_sampler_chain_add(self.sampler, llama_cpp.llama_sampler_init_greedy())
        self.batch = llama_cpp.llama_batch_init(_BATCH, 0, 1)

    def prompt(self, tokens: int) -> list[int]:
        """Return a prompt of `tokens` tokens of prose."""
        text = b"I walked to the harbour and back, and wrote down what I saw there. " * tokens
        buffer = (llama_cpp.llama_token * (len(text) + 8))()
        llama_cpp.llama_tokenize(self.vocab, text, len(text), buffer, len(buffer), True, False)
        return list(buffer[:tokens])

    def decode(self, batch_tokens: Sequence[PositionedToken], logits_at: set[int]) -> None:
        """Decode a batch, with logits at the indices `logits_at`."""
        for index, (token, position, sequence) in enumerate(batch_tokens):
            self.batch.token[index] = token
            self.batch.pos[index] = position
            self.batch.n_seq_id[index] = 1
            self.batch.seq_id[index][0] = sequence
            self.batch.logits[index] = index in logits_at
        self.batch.n_tokens = len(batch_tokens)
        if llama_cpp.llama_decode(self.context, self.batch):
            sys.exit("llama_decode failed")

    def sample(self, index: int) -> int:
        """Return the most probable token at an index of the last batch."""
        return int(llama_cpp.llama_sampler_sample(self.sampler, self.context, index))

    def prefill(self, prompt: list[int], sequence: int) -> int:
        """Prefill a prompt and return the first token of the answer."""
        for start in range(0, len(prompt), _BATCH):
            part = prompt[start : start + _BATCH]
            batch_tokens = [(token, start + index, sequence) for index, token in enumerate(part)]
            self.decode(batch_tokens, {len(part) - 1})
        return self.sample(-1)

    def generate(self, last: list[int], position: int, output: int) -> float:
        """Generate `output` tokens in each sequence after its last one; return tokens/s."""
        started = time.perf_counter()
        for index in range(output):
            batch_tokens = [(token, position + index, seq) for seq, token in enumerate(last)]
            self.decode(batch_tokens, set(range(len(last))))
            last = [self.sample(row) for row in range(len(last))]
        return len(last) * output / (time.perf_counter() - started)

    def drop_answers(self, position: int) -> None:
        """Drop all tokens from a position on."""
        memory = llama_cpp.llama_get_memory(self.context)
        llama_cpp.llama_memory_seq_rm(memory, -1, position, -1)

    def set_threads(self, threads: int) -> None:
        """Set the number of CPU threads."""
        llama_cpp.llama_set_n_threads(self.context, threads, threads)

    def copy_state(self) -> dict[str, float]:
        """Copy the first sequence to memory and back; return its size in bytes and the times."""
        size = llama_cpp.llama_state_seq_get_size(self.context, 0)
        state = (ctypes.c_uint8 * size)()
        started = time.perf_counter()
        llama_cpp.llama_state_seq_get_data(self.context, state, size, 0)
        out = time.perf_counter()
        llama_cpp.llama_state_seq_set_data(self.context, state, size, 0)
        return {"state_bytes": size, "out": out - started, "in": time.perf_counter() - out}


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to compare, the largest first."""
    return sorted({cores, max(1, cores - 1), max(1, cores // 2)}, reverse=True)


def measure(path: str, context_tokens: int, prompt_tokens: int, output: int, sequences: int) -> Any:
    """Prefill a prompt in each sequence, then generate `output` tokens in all at once."""
    loop = BareLoop(path, context_tokens, sequences)
    loaded_at = time.time()
    prompt = loop.prompt(prompt_tokens)
    started = time.perf_counter()
    last = [loop.prefill(prompt, sequence) for sequence in range(sequences)]
    first = time.perf_counter()
    decode = {}
    for threads in thread_counts(usable_cores()):
        loop.set_threads(threads)
        decode[threads] = loop.generate(last, len(prompt), output - 1)
        loop.drop_answers(len(prompt))
    return {
        "loaded_at": loaded_at,
        "read": first - started,
        "prefill": sequences * len(prompt) / (first - started),
        "decode": decode,
        **loop.copy_state(),
    }


if __name__ == "__main__":
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(None))
    numbers = [int(each) for each in sys.argv[2:6]]
    print(json.dumps(measure(sys.argv[1], *numbers)))
