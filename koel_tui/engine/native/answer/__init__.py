"""Answers: text, thinking, tool calls, and where an answer ends."""
