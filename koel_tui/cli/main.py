"""The entry point, which runs a command and maps its errors to messages and exit codes."""

import errno
import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from koel_tui import __version__
from koel_tui.cli.ask_answer import print_failure
from koel_tui.cli.dashes import separate_text
from koel_tui.cli.debugging import Debugging, debug_option, show_traceback
from koel_tui.cli.exit_codes import Exit, error_message, exit_code
from koel_tui.cli.global_options import (
    refuse_misplaced_option,
    requests_json,
    set_command_defaults,
    split_options,
)
from koel_tui.cli.help_epilog import epilog
from koel_tui.cli.lazy import LazyGroup
from koel_tui.cli.options import global_options
from koel_tui.cli.stdio.encoding import require_utf8
from koel_tui.cli.stdio.streams import (
    flush_standard_streams,
    is_output_error,
    open_standard_streams,
    print_notice,
)
from koel_tui.logs import SafeFormatter
from koel_tui.text import safe_text

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_COMMANDS = {
    "chat": "koel_tui.cli.chat:chat",
    "ask": "koel_tui.cli.ask:ask",
    "bench": "koel_tui.cli.bench:bench",
    "doctor": "koel_tui.cli.doctor.command:doctor",
    "threads": "koel_tui.cli.threads:threads",
    "models": "koel_tui.cli.models:models",
    "config": "koel_tui.cli.config:config",
    "completion": "koel_tui.cli.shell_completion:completion",
}


class Commands(LazyGroup):
    """The main command group; an unknown first word is a thread to open."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert `chat` if no command is named, and pass the leading options to the command."""
        options, words = split_options(ctx, args)
        first = words[0] if words else ""
        if first.startswith("-") and first != "--" and not ctx.resilient_parsing:
            refuse_misplaced_option(ctx, first)
        # While the first word is completed, `words` is empty; that word may become a command.
        is_completing_first_word = ctx.resilient_parsing and not words
        if not is_completing_first_word and (not words or words[0] not in self.targets):
            words = ["chat", *words]
        if not ctx.resilient_parsing:
            words = separate_text(ctx, words)
        rest = super().parse_args(ctx, [*options, *words])
        if not ctx.resilient_parsing:
            set_command_defaults(ctx, words)
        return rest

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Return the completions of the first word: commands, threads or options."""
        found = super().shell_complete(ctx, incomplete)
        chat = self.get_command(ctx, "chat")
        if chat is None or incomplete.startswith("-"):
            return found
        with chat.make_context("chat", [], parent=ctx, resilient_parsing=True) as chat_context:
            (thread,) = (each for each in chat.params if each.name == "thread")
            return found + thread.shell_complete(chat_context, incomplete)


@click.group(
    cls=Commands,
    targets=_COMMANDS,
    context_settings={"help_option_names": ["--help"], "max_content_width": 100},
    epilog=epilog(),
)
@global_options
@click.version_option(__version__, prog_name="koel-chat")
def commands(**_: Any) -> None:
    """Chat with language models on your own machine, a tab per conversation.

    Without a command, `chat` runs. The options below can be written before or after a command that
    has them; an option after the command wins.

    \b
    Examples:
      koel-chat                       open the window
      koel-chat "Name of a thread"    open it with a saved thread (title or id)
      koel-chat --model FILE.gguf     open it with another model
      koel-chat ask "..."             print one answer
      koel-chat config edit           change settings, keys and colours
    """


commands.params.append(debug_option())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `koel-chat` and exit the process with its exit code."""
    if arguments is None:
        require_utf8()
    words = list(sys.argv[1:] if arguments is None else arguments)
    open_standard_streams()
    if logging.lastResort is not None:  # it prints warnings to stderr if no handler is set
        logging.lastResort.setFormatter(SafeFormatter())
    if os.environ.get("_KOEL_CHAT_COMPLETE"):  # a shell requests completions from click
        from koel_tui.cli.shell_completion import register_bash_completion

        register_bash_completion()
        commands.main(words, "koel-chat")  # prints the completions and does not return
    code = run(words)
    if not flush_standard_streams():
        code = code or Exit.OUTPUT_FAILED
    sys.exit(code)


def run(words: list[str]) -> int:
    """Run a command line and return its exit code; errors become one message on stderr."""
    debugging = Debugging()
    try:
        # Not `commands.main`, which ends the process with 1 after a broken pipe.
        with commands.make_context("koel-chat", list(words), obj=debugging) as context:
            result: Any = commands.invoke(context)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.ClickException as error:
        _show_usage_error(error)
        if requests_json(commands, words):  # `ask` was not called, so it printed nothing
            with suppress(OSError):  # the exit code does not depend on the output
                print_failure(error.format_message())
        return Exit.USAGE
    except click.Abort:
        return Exit.INTERRUPTED
    except (EOFError, KeyboardInterrupt):
        print_notice("")  # ends the line with the terminal's ^C
        return Exit.INTERRUPTED
    except Exception as error:
        return _report(error, debugging)
    return result if isinstance(result, int) else Exit.OK


def _report(error: Exception, debugging: Debugging) -> Exit:
    """Print the message of an error, if that is possible, and return its exit code."""
    code, message = exit_code(error), error_message(error)
    if isinstance(error, OSError) and is_output_error(error):
        if error.errno == errno.EPIPE:
            return Exit.BROKEN_PIPE
        code, message = Exit.OUTPUT_FAILED, f"The output cannot be written: {error.strerror}."
    if debugging.is_enabled:
        with suppress(OSError):
            show_traceback(error)
    print_notice(safe_text(f"koel-chat: {message}"))
    return code


def _show_usage_error(error: click.ClickException) -> None:
    """Print a usage error; it may contain any text of the command line."""
    message = io.StringIO()
    error.show(message)
    print_notice(safe_text(message.getvalue()), newline=False)
