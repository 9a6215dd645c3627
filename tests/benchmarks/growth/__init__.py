"""Benchmarks of how costs grow with messages, tabs and threads, for `docs/performance.md`.

Run alone: uv run --group plots python -m tests.benchmarks.growth
"""
