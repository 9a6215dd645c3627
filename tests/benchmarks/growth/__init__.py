"""The growth of costs with messages, tabs and threads: measured for `docs/performance.md`.

Run alone: uv run --group plots python -m tests.benchmarks.growth
"""
