"""Questions, titles and names that begin with a dash, in a command line with options."""

import re
from collections.abc import Collection, Mapping, Sequence

import click

from koel_tui.text import safe_line

_NAME = re.compile(r"-+[^\W\d_][\w-]*")
_MAX_SHOWN = 60


def option_name(word: str) -> str:
    """Return the beginning of a word that has the form of an option, or ''."""
    name = _NAME.match(word)
    return name[0] if name else ""


def is_text(word: str, options: Collection[str]) -> bool:
    """Return whether a word that begins with a dash cannot be meant as one of the options.

    "-5 + 3", "- a list" and "-x is negative" are text. "-draft", "--jsno" and "--jsno=yes" may be
    an option with a mistake, and "--json yes" may be one in wrong quotation marks.
    """
    name = option_name(word)
    return not name or (name not in options and word[len(name) :][:1] not in ("", "="))


def options_with_values(context: click.Context) -> Mapping[str, bool]:
    """Return the names of a command's options, each with whether the next word is its value."""
    return {
        name: not (each.is_flag or each.count)
        for each in context.command.get_params(context)
        if isinstance(each, click.Option)
        for name in (*each.opts, *each.secondary_opts)
    }


def separate_text(context: click.Context, words: Sequence[str]) -> list[str]:
    """Return `words`, which begin with a command, with `--` between its options and the rest.

    So click does not take text that begins with a dash as options. Raises `click.UsageError` for
    a word that may be an unknown option. Other mistakes are left for click to report.
    """
    if not any(word.startswith("-") for word in words):
        return list(words)  # without importing the command, which `--version` does not need
    end = 0
    while isinstance(context.command, click.Group):
        word = words[end] if end < len(words) else ""
        end += 1
        if word in options_with_values(context):
            continue
        below = context.command.get_command(context, word)
        if below is None:
            return list(words)
        context = click.Context(below, parent=context, info_name=word)
    return [*words[:end], *_separate(context, words[end:])]


def _separate(context: click.Context, words: Sequence[str]) -> list[str]:
    options = options_with_values(context)
    given: list[str] = []
    texts: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.partition("=")
        if word == "--":
            texts += rest
            break
        if name in options:
            given.append(word)
            if options[name] and not equals:
                if not rest:
                    message = f"Option {name!r} requires an argument."
                    raise click.BadOptionUsage(name, message, context)
                given.append(rest.pop(0))
        elif word.startswith("-") and not is_text(word, options):
            raise unknown_option_error(context, word, options)
        else:
            texts.append(word)
    return [*given, "--", *texts]


def unknown_option_error(
    context: click.Context, word: str, options: Collection[str]
) -> click.UsageError:
    """Return the error for an unknown option, with the way to use it as text."""
    name = option_name(word)
    is_name = word.partition("=")[0] == name
    shown = name if is_name else safe_line(word, _MAX_SHOWN)
    similar = options if is_name else ()
    message = click.NoSuchOption(shown, possibilities=similar).format_message()
    if _takes_text(context.command):
        example = f"{context.command_path} {quote_argument(safe_line(word, _MAX_SHOWN))}"
        message += f" If it is not an option, put -- before it: {example}"
    return click.UsageError(message, context)


def quote_argument(word: str) -> str:
    """Return a word as it is typed in a shell as an argument, after `--` if it needs that."""
    import shlex

    return f"-- {shlex.quote(word)}" if word.startswith("-") else shlex.quote(word)


def _takes_text(command: click.Command) -> bool:
    """Return whether a command has arguments; those of the program itself are a thread."""
    is_program = isinstance(command, click.Group)
    return is_program or any(isinstance(each, click.Argument) for each in command.params)
