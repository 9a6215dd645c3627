"""The question of `koel-chat ask`: its argument, and the text on stdin."""

import sys

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.decoding import PipedText, decode_text
from koel_tui.cli.stdio.reading import is_stdin_of_shell, is_stdin_partly_read, read_stdin
from koel_tui.cli.stdio.streams import print_notice
from koel_tui.text import repair

MAX_PIPED_CHARACTERS = 10_000_000
_MAX_BYTES_PER_CHARACTER = 4
_MAX_BOM_BYTES = 4


async def read_question(argument: str | None, *, with_stdin: bool) -> str:
    """Return the text to send. Print a notice if stdin may be meant for another reader.

    Raises `UsageProblem` if there is no text, too much, or data that is not text.
    """
    piped = PipedText("")
    if with_stdin:
        # Check before reading, because reading moves the file position.
        is_partly_read, is_of_shell = is_stdin_partly_read(), is_stdin_of_shell()
        piped = await _read_piped_text()
        if argument and (is_partly_read or is_of_shell) and piped.text.strip():
            _print_inherited_notice(piped.text, is_partly_read=is_partly_read)
    question = repair(argument or "")
    if question != (argument or ""):
        _print("The question has bytes that are not UTF-8. They were replaced by \ufffd.")
    prompt = "\n\n".join(part for part in (question, repair(piped.text)) if part.strip())
    if not prompt:
        source = "or pipe a text" if with_stdin else "or pipe a text without --no-stdin"
        raise UsageProblem(f'there is no question. Try: koel-chat ask "...", {source}.')
    return prompt


async def _read_piped_text() -> PipedText:
    limit = _MAX_BYTES_PER_CHARACTER * MAX_PIPED_CHARACTERS + _MAX_BOM_BYTES
    data = await read_stdin(limit)
    if len(data) > limit:  # the rest was not read
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


def _print_inherited_notice(text: str, *, is_partly_read: bool) -> None:
    """Print a notice that lines of stdin became part of the question.

    If a part of stdin was read before (`is_partly_read`), a loop is likely. Otherwise a script may
    just pass its stdin on, as in `git diff | ./review.sh`.
    """
    lines = _count(len(text.strip("\n").split("\n")), "line")
    if is_partly_read:
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
