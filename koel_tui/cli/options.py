"""Options shared by several commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from koel_tui.chat_templates import CHAT_TEMPLATES
from koel_tui.limits import MAX_SEQUENCES, MAX_THREADS

F = TypeVar("F", bound=Callable[..., Any])


class Number(click.ParamType[float]):
    """A click type for a number in the allowed range of a setting."""

    name = "number"

    def __init__(self, setting: str) -> None:
        self._setting = setting

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Parse the number; for an invalid one, fail with a usage error that gives the range."""
        from koel_tui.settings import NUMBER_RANGES
        from koel_tui.typed_values import parse_number

        try:
            return parse_number(str(value), NUMBER_RANGES[self._setting])
        except ValueError as error:
            self.fail(f"{value!r} is not {error}.", param, ctx)


def model_option(command: F) -> F:
    """Add --model."""
    return click.option(
        "--model",
        type=click.Path(path_type=Path),
        metavar="FILE|NAME",
        help="GGUF file, or a name from `models list` (default: the starter model).",
    )(command)


def template_option(command: F) -> F:
    """Add --chat-template."""
    return click.option(
        "--chat-template",
        type=click.Choice(CHAT_TEMPLATES),
        help="Chat template: the model's own, a built-in one, or none (plain text).",
    )(command)


def context_options(command: F) -> F:
    """Add the options for the context size and the hardware use."""
    for option in (
        click.option(
            "--threads",
            type=click.IntRange(1, MAX_THREADS),
            help="CPU threads (default: the fastest number).",
        ),
        click.option(
            "--gpu-layers",
            type=click.IntRange(-1),
            help="Layers on the GPU; -1 = all that fit (default).",
        ),
        click.option(
            "--context-tokens",
            type=click.IntRange(256),
            help="Context size in tokens, prompt and answer together.",
        ),
    ):
        command = option(command)
    return command


def session_options(command: F) -> F:
    """Add the options for the number of sessions and of parallel answers."""
    for option in (
        click.option(
            "--parallel",
            type=click.IntRange(1, 64),
            help="Answers written at the same time (default: 1).",
        ),
        click.option(
            "--max-sessions",
            type=click.IntRange(1, MAX_SEQUENCES),
            help="Threads that can have a model context (default: 8).",
        ),
    ):
        command = option(command)
    return command


def sampling_options(command: F) -> F:
    """Add the most common sampling options, except the temperature."""
    for option in (
        click.option(
            "--repeat-penalty",
            type=Number("repeat_penalty"),
            help="1.1 reduces repetition; 1 = off.",
        ),
        click.option(
            "--min-p",
            type=Number("min_p"),
            help="Minimum probability, relative to the most likely token; 0 = off.",
        ),
        click.option(
            "--top-p",
            type=Number("top_p"),
            help="Keep the most likely tokens up to this total probability; 1 = off.",
        ),
        click.option(
            "--top-k",
            type=Number("top_k"),
            help="Keep the N most likely tokens; 0 = off.",
        ),
    ):
        command = option(command)
    return command


def appearance_options(command: F) -> F:
    """Add the options for the appearance of the chat."""
    for option in (
        click.option(
            "--low-bandwidth",
            is_flag=True,
            help="Paint at most 5 times a second and send only what changed, for slow connections.",
        ),
        click.option(
            "--plain",
            is_flag=True,
            help="Lines of text for screen readers, no window; /help lists the commands.",
        ),
        click.option(
            "--theme", help="Name of a theme; the command palette of the window lists them."
        ),
    ):
        command = option(command)
    return command


def global_options(command: F) -> F:
    """Add the options of `chat`, which are also accepted before the other commands."""
    for add in (
        appearance_options,
        context_options,
        template_option,
        session_options,
        model_option,
    ):
        command = add(command)
    return command
