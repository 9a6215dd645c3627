"""Prompts: chat templates, tools, control tokens."""
