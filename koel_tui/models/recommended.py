"""Models worth a download when none is at hand: small, well known, made to chat, Apache 2.0.

A list of names, no more: whether they are offered, how large they are and what they hold is what
Hugging Face says when one is downloaded.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model in a repository; `size_bytes` is about what its usual file takes."""

    repo: str
    size_bytes: int


RECOMMENDED = (
    Recommended("Qwen/Qwen2.5-0.5B-Instruct-GGUF", 491_000_000),
    Recommended("HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", 1_060_000_000),
    Recommended("Qwen/Qwen2.5-1.5B-Instruct-GGUF", 1_120_000_000),
    Recommended("Qwen/Qwen3-4B-GGUF", 2_500_000_000),
)
"""The smallest first."""
