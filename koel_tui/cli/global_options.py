"""Options before the subcommand, which are passed on to the subcommand."""

from collections.abc import Iterator, Sequence
from typing import Any

import click
from click.core import ParameterSource

from koel_tui.cli.dashes import is_text, option_name, options_with_values, unknown_option_error


def split_options(context: click.Context, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split `words` into the leading options and the rest.

    The value of an option is never parsed as a command. Raises `click.BadOptionUsage` if the last
    option has no value.
    """
    takes_value = options_with_values(context)
    end = 0
    while end < len(words):
        name, equals, _ = words[end].partition("=")
        if name not in takes_value:
            break
        end += 2 if takes_value[name] and not equals else 1
        if end > len(words) and not context.resilient_parsing:
            raise click.BadOptionUsage(name, f"Option {name!r} requires an argument.", context)
    return list(words[:end]), list(words[end:])


def set_command_defaults(context: click.Context, words: Sequence[str]) -> None:
    """Set the options given before the command as defaults of the command in `words`.

    Options after the command override them. Raises `click.UsageError` for an option that the
    command does not have.
    """
    command, path = _find_command(context, words)
    # Keyed by the option's flag, because an argument may have the same parameter name.
    known = {each.opts[0]: each for each in command.params if isinstance(each, click.Option)}
    given: dict[str, Any] = {}
    for option in context.command.params:
        name = option.name or ""
        if name not in context.params:
            continue  # --debug and --version are already handled
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        target = known.get(option.opts[0])
        if target is None:
            raise click.UsageError(
                f"'{' '.join(['koel-chat', *path])}' has no option {option.opts[0]}.", context
            )
        given[target.name or ""] = context.params[name]
    for name in reversed(path):
        given = {name: given}
    context.default_map = given


def refuse_misplaced_option(context: click.Context, word: str) -> None:
    """Raise `click.UsageError` for an option before the command that the program does not have.

    A word that cannot be an option is the title of a thread.
    """
    name, own = option_name(word), options_with_values(context)
    commands = [
        f"'{' '.join(path)}'"
        for path, command in _walk_commands(context, context.command)
        if any(name in each.opts for each in command.params)
    ]
    if is_text(word, {name} if commands else own):
        return
    if commands and name not in own:
        raise click.UsageError(
            f"{name} is an option of {', '.join(commands)}. Put it after the command.", context
        )
    raise unknown_option_error(context, word, own)


def requests_json(group: click.Group, words: Sequence[str]) -> bool:
    """Return whether a command line, valid or not, is `ask --json`."""
    context = click.Context(group, resilient_parsing=True)
    command, *rest = split_options(context, words)[1] or [""]
    options = rest[: rest.index("--")] if "--" in rest else rest
    return command == "ask" and "--json" in options


def _find_command(context: click.Context, words: Sequence[str]) -> tuple[click.Command, list[str]]:
    """Return the command at the start of `words` and its path."""
    command, path = context.command, list[str]()
    for word in words:
        below = command.get_command(context, word) if isinstance(command, click.Group) else None
        if below is None:
            break
        command, path = below, [*path, word]
    return command, path


def _walk_commands(
    context: click.Context, group: click.Command, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield the path and command of every command in a group, recursively."""
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield (*path, name), command
            yield from _walk_commands(context, command, *path, name)
