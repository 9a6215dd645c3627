"""Parsing of answers: text, thinking, tool calls and the end of the answer."""
