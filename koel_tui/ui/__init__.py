"""The window: a Textual program with a tab per thread."""
