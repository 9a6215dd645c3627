"""The entry point: finds the command, runs it, and turns its errors into messages and codes."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import click

from koel_tui import __version__
from koel_tui.cli.exits import Exit, exit_of
from koel_tui.cli.lazy import LazyGroup
from koel_tui.logs import SafeFormatter
from koel_tui.text import safe_text

_COMMANDS = {
    "chat": "koel_tui.cli.chat:chat",
    "ask": "koel_tui.cli.ask:ask",
    "bench": "koel_tui.cli.bench:bench",
    "threads": "koel_tui.cli.threads:threads",
    "models": "koel_tui.cli.models:models",
}


class Commands(LazyGroup):
    """The subcommands; a first word that is none is a thread to open."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `chat` in front of arguments that name no command."""
        own = {"--help", "--version", *_COMMANDS}
        debug = args[:1] == ["--debug"]
        rest = args[1:] if debug else args
        if not rest or rest[0] not in own:
            rest = ["chat", *rest]
        return super().parse_args(ctx, [*(["--debug"] if debug else []), *rest])


@click.group(
    cls=Commands,
    places=_COMMANDS,
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    epilog="Run `koel-chat COMMAND --help` for the options of a command.",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
@click.version_option(__version__, prog_name="koel-chat")
def commands(debug: bool) -> None:
    """Chat with language models on your own machine, a tab per conversation.

    \b
    koel-chat                    open the window
    koel-chat THREAD             open the window with a saved thread (its title or id)
    koel-chat --model FILE.gguf  open the window with another model
    koel-chat ask "..."          print one answer
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `koel-chat` and end the process with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if logging.lastResort is not None:  # what writes warnings to stderr where nobody else does
        logging.lastResort.setFormatter(SafeFormatter())
    sys.exit(run(words))


def run(words: list[str]) -> int:
    """Run a command line and return its exit code; errors become one message on stderr."""
    try:
        result: Any = commands.main(args=words, prog_name="koel-chat", standalone_mode=False)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; nothing is to be said to nobody
        return Exit.INTERNAL
    except Exception as error:
        if "--debug" in words[:1]:
            raise
        click.echo(safe_text(f"koel-chat: {_message(error)}"), err=True)
        return exit_of(error)
    return result if isinstance(result, int) else Exit.OK


def _message(error: Exception) -> str:
    if exit_of(error) is Exit.INTERNAL:
        return (
            f"something went wrong inside koel-chat ({type(error).__name__}: {error}). "
            "Your saved threads are untouched. Run it with --debug for the details."
        )
    return str(error)
