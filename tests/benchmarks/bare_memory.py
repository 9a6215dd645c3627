"""A program that uses only llama.cpp and prints the bytes that a context and an answer add.

`python -m tests.benchmarks.bare_memory MODEL CONTEXT_TOKENS PROMPT OUTPUT`
"""

import ctypes
import sys

import llama_cpp
import psutil

from koel_tui.engine.bench.bare_loop import BareLoop


def added_memory(path: str, context_tokens: int, prompt_tokens: int, output: int) -> int:
    """Return the bytes of memory that loading and answering add to a program with llama.cpp."""
    process = psutil.Process()
    before = process.memory_info().rss
    loop = BareLoop(path, context_tokens, 1)
    prompt = loop.prompt(prompt_tokens)
    token = loop.prefill(prompt, 0)
    for position in range(len(prompt), len(prompt) + output):
        loop.decode([(token, position, 0)], {0})
        token = loop.sample(0)
    return int(process.memory_info().rss - before)


if __name__ == "__main__":
    quiet = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(None))
    print(added_memory(sys.argv[1], *(int(each) for each in sys.argv[2:5])))
