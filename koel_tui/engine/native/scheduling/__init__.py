"""The turns of each step, and its number of CPU threads."""
