"""The reference: llama.cpp's own calls in a loop, greedy, nothing around them.

python bare_loop.py MODEL PROMPT_FILE CONTEXT_TOKENS OUTPUT_TOKENS ROUNDS, prints a JSON object.
"""

import ctypes
import json
import sys
import time

import llama_cpp
import psutil


def measure(model_path: str, prompt: bytes, window: int, output: int, rounds: int) -> None:
    """Read the prompt and write `output` tokens, `rounds` times; print the speeds of each."""
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(None))
    model = llama_cpp.llama_model_load_from_file(
        model_path.encode(), llama_cpp.llama_model_default_params()
    )
    vocab = llama_cpp.llama_model_get_vocab(model)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = window
    params.n_batch = params.n_ubatch = 512
    params.n_threads = params.n_threads_batch = psutil.cpu_count(logical=False) or 1
    context = llama_cpp.llama_init_from_model(model, params)
    memory = llama_cpp.llama_get_memory(context)
    chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
    llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
    tokens = (llama_cpp.llama_token * (len(prompt) + 8))()
    count = llama_cpp.llama_tokenize(vocab, prompt, len(prompt), tokens, len(tokens), True, True)
    batch = llama_cpp.llama_batch_init(512, 0, 1)

    def decode(ids: list[int], position: int) -> None:
        for index, token in enumerate(ids):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = 0
            batch.logits[index] = 0
        batch.logits[len(ids) - 1] = 1
        batch.n_tokens = len(ids)
        if llama_cpp.llama_decode(context, batch):
            sys.exit("llama_decode failed")

    results = []
    for _ in range(rounds):
        llama_cpp.llama_memory_clear(memory, True)
        begin = time.perf_counter()
        for start in range(0, count, 512):
            decode(list(tokens[start : min(start + 512, count)]), start)
        token = llama_cpp.llama_sampler_sample(chain, context, -1)
        first = time.perf_counter()
        written = 1
        while written < output:
            decode([token], count + written - 1)
            token = llama_cpp.llama_sampler_sample(chain, context, -1)
            if llama_cpp.llama_vocab_is_eog(vocab, token):
                break
            written += 1
        end = time.perf_counter()
        results.append(
            {
                "prefill": count / (first - begin),
                "decode": (written - 1) / (end - first),
                "tokens": written,
                "prompt": count,
            }
        )
    print(json.dumps(results))


if __name__ == "__main__":
    with open(sys.argv[2], "rb") as file:  # noqa: PTH123 - nothing but what the loop needs
        text = file.read()
    measure(sys.argv[1], text, int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
