"""Recommended models for download: small, well known chat models under Apache 2.0.

This is a list of names only: availability, size and contents come from Hugging Face at download.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recommended:
    """A model repository; `size_bytes` is the approximate size of its default file."""

    repo: str
    size_bytes: int


RECOMMENDED = (
    Recommended("Qwen/Qwen2.5-0.5B-Instruct-GGUF", 491_000_000),
    Recommended("HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF", 1_060_000_000),
    Recommended("Qwen/Qwen2.5-1.5B-Instruct-GGUF", 1_120_000_000),
    Recommended("Qwen/Qwen3-4B-GGUF", 2_500_000_000),
)
"""Sorted by size, smallest first."""
