"""The question of `koel-chat ask`: its argument, and the text on stdin."""

import sys

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.decoding import PipedText, decode_text
from koel_tui.cli.stdio.reading import is_partly_read, is_stdin_of_shell, read_stdin
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.text import repair

MAX_PIPED_CHARACTERS = 10_000_000
_MAX_BYTES_PER_CHARACTER = 4
_MAX_MARK = 4  # bytes of a byte order mark


async def read_question(argument: str | None, *, with_stdin: bool) -> str:
    """Return the text to send, and print on stderr what the user may not expect of stdin.

    Raises `UsageProblem` if there is no text, too much, or data that is not text.
    """
    piped = PipedText("")
    if with_stdin:
        # Asked before the read, which moves the position in a file.
        is_shared, is_of_shell = is_partly_read(), is_stdin_of_shell()
        piped = await _read_piped_text()
        if argument and (is_shared or is_of_shell) and piped.text.strip():
            _print_inherited_notice(piped.text, is_shared=is_shared)
    question = repair(argument or "")
    if question != (argument or ""):
        _print("The question has bytes that are not UTF-8. They were replaced by \ufffd.")
    prompt = "\n\n".join(part for part in (question, repair(piped.text)) if part.strip())
    if not prompt:
        source = "or pipe a text" if with_stdin else "or pipe a text without --no-stdin"
        raise UsageProblem(f'there is no question. Try: koel-chat ask "...", {source}.')
    return prompt


async def _read_piped_text() -> PipedText:
    limit = _MAX_BYTES_PER_CHARACTER * MAX_PIPED_CHARACTERS + _MAX_MARK
    data = await read_stdin(limit)
    if len(data) > limit:  # then the rest was not read
        raise _too_long()
    piped = decode_text(data, sys.stdin.encoding or "utf-8")
    if len(piped.text) > MAX_PIPED_CHARACTERS:
        raise _too_long()
    if piped.replaced:
        are, were = ("is", "was") if piped.replaced == 1 else ("are", "were")
        _print(
            f"{_count(piped.replaced, 'character')} of the piped text {are} not valid "
            f"{piped.encoding} and {were} replaced by \ufffd. If the text has another encoding, "
            "convert it, for example with: iconv -f latin1 -t utf-8"
        )
    return piped


def _too_long() -> UsageProblem:
    return UsageProblem(
        f"the piped text has more than {MAX_PIPED_CHARACTERS:,} characters. Pipe only a part of it."
    )


def _print_inherited_notice(text: str, *, is_shared: bool) -> None:
    """Print that the question has lines which may be meant for a loop of the calling program.

    A script that passes its stdin on, as in `git diff | ./review.sh`, looks like one with a loop,
    unless a part of the stdin was read already (`is_shared`).
    """
    lines = _count(len(text.strip("\n").split("\n")), "line")
    if is_shared:
        _print(
            f"The question includes {lines} of stdin, which the calling program uses, too. "
            "If a loop reads the lines, add --no-stdin."
        )
    else:
        _print(
            f"The question includes {lines} from the stdin of the calling script. "
            "If these lines are meant for a loop in it, add --no-stdin."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _print(notice: str) -> None:
    print_notice(f"koel-chat: {notice}")
