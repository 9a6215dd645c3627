"""The command `koel-chat completion`, which prints shell completion scripts."""

import re

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
)

from koel_tui.cli.exit_codes import Exit

PROGRAM_NAME = "koel-chat"
COMPLETION_VARIABLE = "_KOEL_CHAT_COMPLETE"
"""The environment variable of a completion request; click defines its name."""
_SHELLS = ("bash", "zsh", "fish")
_PLAIN_VALUE = re.compile(r"[\w@%+=:./-]*")

# With `compopt -o filenames` readline escapes the spaces of thread titles.
_BASH = """\
%(complete_func)s() {
    local answer answers
    COMPREPLY=()
    mapfile -t answers < <(
        IFS=$'\\n'
        env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" \\
            %(complete_var)s=bash_complete "$1" 2> /dev/null
    )
    for answer in "${answers[@]}"; do
        case $answer in
            "") ;;
            file,*) compopt -o default ;;
            dir,*) compopt -o dirnames ;;
            title,*) compopt -o filenames; COMPREPLY+=("${answer#*,}") ;;
            *) COMPREPLY+=("${answer#*,}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class _Bash(BashComplete):
    """Completion for bash, with support for values that contain spaces."""

    source_template = _BASH

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return an output line in the format that `_BASH` parses."""
        if item.type == "plain" and not _PLAIN_VALUE.fullmatch(item.value):
            return f"title,{item.value}"
        return super().format_completion(item)


def register_bash_completion() -> None:
    """Register our bash completion with click."""
    add_completion_class(_Bash)


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion script for a shell.

    It completes commands, options and titles of saved threads. Add it to a file that the shell
    reads when it starts:

    \b
      bash, ~/.bashrc:  eval "$(koel-chat completion bash)"
      zsh, ~/.zshrc:    eval "$(koel-chat completion zsh)"
      fish:             koel-chat completion fish \\
                          > ~/.config/fish/completions/koel-chat.fish

    Then open a new shell. Bash must be 4.4 or newer. In ~/.zshrc the line goes
    below compinit.
    """
    register_bash_completion()
    completion_class = get_completion_class(shell)
    if completion_class is None:
        return Exit.INTERNAL
    click.echo(
        completion_class(ctx.find_root().command, {}, PROGRAM_NAME, COMPLETION_VARIABLE).source(),
        nl=False,
    )
    return Exit.OK
