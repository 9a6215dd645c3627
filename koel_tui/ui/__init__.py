"""The user interface: a Textual app with one tab per thread."""
