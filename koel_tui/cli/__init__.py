"""The commands: koel-chat and its subcommands. Each is imported when it is called."""

from koel_tui.cli.main import main

__all__ = ["main"]
