"""Prompts: chat templates, tools and the marking of data."""
