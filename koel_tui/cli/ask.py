"""The command `koel-chat ask "..."`, which prints one answer to stdout."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koel_tui.chat_templates import BUILT_IN_TEMPLATES, OWN_TEMPLATE, RAW_COMPLETION
from koel_tui.cli.ask_answer import Answer
from koel_tui.cli.exit_codes import Exit, error_message, exit_code, exit_code_by_name
from koel_tui.cli.options import (
    Number,
    context_options,
    model_option,
    sampling_options,
    template_option,
)
from koel_tui.cli.stdio.streams import count_unencodable, print_notice
from koel_tui.cli.thread_completion import complete_thread
from koel_tui.conversation.incomplete_answers import fills_context, incomplete_reason
from koel_tui.system.signals import run_until_signal
from koel_tui.text import repair, safe_text

if TYPE_CHECKING:
    from koel_tui.agents import ModelInfo
    from koel_tui.protocol import KoelError, TurnSettings
    from koel_tui.session import ChatSession, ThreadSettings
    from koel_tui.storage import SessionStorage


@click.command()
@click.argument("question", required=False)
@model_option
@click.option("--system", help="System prompt.")
@click.option(
    "--temperature", type=Number("temperature"), help="Randomness; 0 = most likely token only."
)
@sampling_options
@click.option("--seed", type=Number("seed"), help="The same seed gives the same answer.")
@click.option(
    "--max-output-tokens",
    type=Number("max_output_tokens"),
    help="Maximum length of the answer in tokens.",
)
@click.option(
    "--thread",
    shell_complete=complete_thread,
    help="Saved thread to continue (title or id); the answer is saved.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, also after a failure."
)
@click.option(
    "--no-stdin",
    is_flag=True,
    help="Do not read stdin: for loops, cron and CI, where it is not part of the question.",
)
@template_option
@context_options
def ask(
    question: str | None, thread: str | None, as_json: bool, no_stdin: bool, **options: Any
) -> int:
    """Print one answer to QUESTION.

    Piped text is added below the question, or is the question if you give none. Without --thread
    nothing is saved. An answer that was cut at a limit is a success, with a notice on stderr.
    Without a usable answer the exit code is 65. A question that looks like an option follows --.

    \b
    Examples:
      koel-chat ask "Why is the sea salty?"
      git diff | koel-chat ask "Review this."
      koel-chat ask --thread "Trip to Rome" "And where to eat?"
      koel-chat ask --json --temperature 0 "Say hello." | jq -r .text
      while read -r q; do koel-chat ask --no-stdin "$q"; done < questions.txt
    """
    answer = Answer()
    options = {name: value for name, value in options.items() if value is not None}
    try:
        work = _ask(question, thread, options, answer, with_stdin=not no_stdin, quiet=as_json)
        return asyncio.run(run_until_signal(work))
    except (click.Abort, KeyboardInterrupt):
        answer.stop()
        raise
    except Exception as error:
        answer.fail(error_message(error))
        raise
    finally:
        if as_json:
            answer.print_json()


async def _ask(
    question: str | None,
    thread: str | None,
    options: Mapping[str, Any],
    answer: Answer,
    *,
    with_stdin: bool,
    quiet: bool,
) -> int:
    from koel_tui.cli.ask_question import read_question
    from koel_tui.settings import load_settings

    try:
        prompt = await read_question(question, with_stdin=with_stdin)
        return await _answer(prompt, thread, load_settings(**options), options, answer, quiet=quiet)
    except asyncio.CancelledError:
        answer.stop()
        raise


async def _answer(
    prompt: str,
    thread: str | None,
    settings: Any,
    options: Mapping[str, Any],
    answer: Answer,
    *,
    quiet: bool,
) -> int:
    from koel_tui.cli.threads.resolve import resolve_thread
    from koel_tui.cli.wiring import create_model_router, open_storage, turn_settings
    from koel_tui.session import KoelClient, keep_usage
    from koel_tui.storage import MemoryStorage

    storage: SessionStorage = MemoryStorage() if thread is None else open_storage()
    initial, meta = None, {}
    if thread is not None:
        thread = answer.thread = await resolve_thread(storage, thread)
        initial, meta = await storage.load(thread), await storage.meta(thread)
    overrides = _thread_settings(meta, options)
    thread_settings = overrides.turn_settings(turn_settings(settings))
    if overrides.model is not None:
        settings = settings.model_copy(update={"model": Path(overrides.model)})
    # One context is enough, and each context takes memory when the model is loaded.
    agent = create_model_router(
        settings.model_copy(update={"max_sessions": 1, "parallel": 1}), None
    )
    client = KoelClient(agent, storage=storage, reducers=[keep_usage])
    try:
        session = client.new_session(
            thread, initial, thread_settings, agent.agent(lora=overrides.lora)
        )
        answer.thread = session.thread_id
        await _lock(session)
        # Load first, so that a model error is raised as such and not as a failed run.
        info = await agent.load()
        answer.model = info.name
        if info.notice:
            print_notice(safe_text(f"koel-chat: {info.notice}"))
        session.settings = _apply_template(thread_settings, info)
        await _run(session, prompt, answer, quiet=quiet)
    except asyncio.CancelledError:
        answer.stop()
        if quiet:  # print now, because the cleanup below may exceed the deadline
            answer.print_json()
        raise
    finally:
        await client.dispose()
        await agent.close()
    return _report_result(session, answer, quiet=quiet)


def _thread_settings(meta: Mapping[str, Any], options: Mapping[str, Any]) -> "ThreadSettings":
    """Return the saved settings of a thread, without those given on the command line.

    Raises `SettingsError` for an invalid saved value that is not overridden.
    """
    from koel_tui.session import ThreadSettings
    from koel_tui.settings import SettingsError

    saved = ThreadSettings.of_meta(meta)
    if unusable := [name for name in saved.unusable_names if name not in options]:
        raise SettingsError(
            f"Saved settings of this thread cannot be used: {', '.join(unusable)}. Open the thread "
            "in koel-chat and save its settings again, or give the values as options."
        )
    sampling = {name: saved.sampling[name] for name in saved.sampling if name not in options}
    others: dict[str, Any] = {each.name: None for each in fields(saved) if each.name in options}
    return replace(saved, sampling=sampling, **others)


def _apply_template(settings: "TurnSettings", info: "ModelInfo") -> "TurnSettings":
    """Return the settings, with raw completion if there is no chat template."""
    if info.has_template or settings.chat_template not in (None, OWN_TEMPLATE):
        return settings
    names = info.fitting_template or f"({', '.join(BUILT_IN_TEMPLATES)})"
    print_notice(
        safe_text(
            f"koel-chat: {info.name} has no chat template, so it only completes the text. Use "
            f"--chat-template {names} for an answer."
        )
    )
    return replace(settings, chat_template=RAW_COMPLETION)


async def _lock(session: "ChatSession") -> None:
    """Lock the thread for writing first, so that no answer is generated that cannot be saved."""
    from koel_tui.session import ReadOnlyThreadError

    access = await session.hold()
    if access is not None and not access.writable:
        raise ReadOnlyThreadError(session.thread_id, access.reason)


async def _run(session: "ChatSession", prompt: str, answer: Answer, *, quiet: bool) -> None:
    """Send the prompt, print the answer while it is generated, and save it."""
    printing = asyncio.create_task(_print_answer(session, answer, quiet=quiet))
    sending = asyncio.create_task(session.send(prompt))
    try:
        # Printing ends first only if stdout was closed; then the rest is not needed.
        await asyncio.wait([sending, printing], return_when=asyncio.FIRST_COMPLETED)
        if printing.done():
            printing.result()
        await sending
        await session.dispose()
        await printing
    except asyncio.CancelledError:
        if not session.disposed:
            session.cancel()
        raise
    finally:
        answer.read_state(session.state)


async def _print_answer(session: "ChatSession", answer: Answer, *, quiet: bool) -> None:
    """Print the answer while it is generated; sanitize it only for a terminal."""
    from ag_ui.core import TextMessageContentEvent

    sanitize = safe_text if sys.stdout.isatty() else repair
    is_written = False
    async for event in session.events():
        answer.on_event(event)
        if isinstance(event, TextMessageContentEvent) and not quiet:
            click.echo(sanitize(event.delta), nl=False)
            is_written = True
    if is_written:
        click.echo()


def _report_result(session: "ChatSession", answer: Answer, *, quiet: bool) -> int:
    """Return the exit code, and print any problem of the answer on stderr."""
    failed = session.state.error
    code, problem = Exit.OK, ""
    if failed is not None:
        code, problem = _failure_exit_code(failed), str(failed)
    elif answer.unusable_reason:
        code, problem = Exit.NO_ANSWER, answer.unusable_reason
    elif session.dirty:
        cause = session.save_error
        code = Exit.SAVE_FAILED if cause is None else exit_code(cause)
        code = Exit.SAVE_FAILED if code is Exit.INTERNAL else code
        problem = f"The answer could not be saved: {cause or 'the disk did not respond in time'}"
    if code:
        answer.error = problem
    elif not quiet:
        problem = _truncation_notice(session)
    # The object of --json has what the notices report.
    notices = [] if quiet else [_trimming_notice(answer), _encoding_notice(answer)]
    for line in filter(None, [problem, *notices]):
        print_notice(safe_text(f"koel-chat: {line}"))
    return code


def _failure_exit_code(error: "KoelError") -> Exit:
    """Return the exit code of a failed run, by the agent's own code or by the kind of the error."""
    agent_code = getattr(error, "agent_code", None)
    if agent_code == "ValueError":  # an invalid thread setting; that is not a program error
        return Exit.BAD_CONFIG
    if (error.family, error.code) == ("agent", "refused"):
        return Exit.NO_ANSWER
    if (error.family, error.code) in (("business", "quota"), ("business", "rate")):
        return Exit.NO_SERVER
    code = exit_code_by_name(str(agent_code))
    return exit_code(error) if code is Exit.INTERNAL else code


def _truncation_notice(session: "ChatSession") -> str:
    """Return the limit at which the answer was cut and the remedy, or '' if it is complete."""
    messages = session.state.messages
    if not (problem := incomplete_reason(messages)):
        return ""
    option = "--context-tokens" if fills_context(messages[-1]) else "--max-output-tokens"
    return f"{problem} A larger {option} allows a longer one."


def _trimming_notice(answer: Answer) -> str:
    """Return how many of the oldest turns the model did not read, or ''."""
    from koel_tui.conversation.notices import left_out_message

    if not (turns := answer.trimmed_turns):
        return ""
    return f"{left_out_message(turns)} A larger --context-tokens keeps more."


def _encoding_notice(answer: Answer) -> str:
    """Return how many characters of the answer the encoding of stdout lacks, or ''."""
    if not (missing := count_unencodable(answer.text)):
        return ""
    characters = "1 character" if missing == 1 else f"{missing:,} characters"
    return (
        f"{characters} of the answer cannot be written in {sys.stdout.encoding}: each became a "
        "question mark. Use a UTF-8 locale, for example LC_ALL=C.UTF-8."
    )
