"""The command koel-chat and its subcommands, which are imported lazily."""

from koel_tui.cli.main import main

__all__ = ["main"]
