"""koel-chat: a terminal chat program for language models on your own machine."""

__version__ = "0.1.0"
