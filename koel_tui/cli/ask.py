"""`koel-chat ask "..."`: one answer to stdout."""

import asyncio
import json
import sys
from collections.abc import Set
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koel_tui.cli.completing import saved
from koel_tui.cli.ending import unless_signalled
from koel_tui.cli.exits import Exit, UsageProblem, exit_named
from koel_tui.cli.options import model_option, template_option, window_options
from koel_tui.text import repair, safe_text

if TYPE_CHECKING:
    from koel_tui.protocol import ChatState
    from koel_tui.session import ChatSession, ThreadSettings


_MOST_PIPED = 10_000_000


@click.command()
@click.argument("question", required=False)
@model_option
@click.option("--system", help="System prompt: who the model is to be.")
@click.option("--temperature", type=click.FloatRange(0, 5), help="0 takes the likeliest words.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Same seed, same answer.")
@click.option("--max-output-tokens", type=click.IntRange(1), help="Longest answer in tokens.")
@click.option(
    "--thread",
    shell_complete=saved,
    help="Saved thread to go on with (title or id); the answer is saved.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@template_option
@window_options
def ask(question: str | None, thread: str | None, as_json: bool, **flags: Any) -> int:
    """Print one answer to QUESTION.

    What is piped in is sent below the question, or alone where there is none. Without --thread
    nothing is saved.

    \b
    Examples:
      koel-chat ask "Why is the sea salty?"
      git diff | koel-chat ask "Review this."
      koel-chat ask --thread "Trip to Rome" "And where to eat?"
      koel-chat ask --json --temperature 0 "Say hello." | jq -r .text
    """
    prompt = _prompt(question)
    from koel_tui.settings import load_settings

    given = {name for name, value in flags.items() if value is not None}
    work = _ask(prompt, thread, as_json, load_settings(**flags), given)
    return asyncio.run(unless_signalled(work))


def _prompt(question: str | None) -> str:
    piped = "" if sys.stdin.isatty() else sys.stdin.read(_MOST_PIPED + 1)
    if len(piped) > _MOST_PIPED:
        raise UsageProblem(
            f"more than {_MOST_PIPED:,} characters are piped in, which no model reads. "
            "Pipe a part of it in."
        )
    prompt = repair("\n\n".join(part for part in (question or "", piped) if part.strip()))
    if not prompt:
        raise UsageProblem('nothing to ask. Try: koel-chat ask "..." or pipe a text in.')
    return prompt


async def _ask(
    prompt: str, thread: str | None, as_json: bool, settings: Any, given: Set[str]
) -> int:
    from koel_tui.cli.assemble import model_router, open_storage, turn_settings
    from koel_tui.cli.threads.named import named_thread
    from koel_tui.session import KoelClient, ThreadSettings
    from koel_tui.storage import MemoryStorage

    storage = MemoryStorage() if thread is None else open_storage()
    initial, wanted = None, ThreadSettings()
    if thread is not None:
        thread = await named_thread(storage, thread)
        initial = await storage.load(thread)
        wanted = _unless_given(ThreadSettings.of_meta(await storage.meta(thread)), given)
        if wanted.model is not None:
            settings = settings.model_copy(update={"model": Path(wanted.model)})
    # One context is all it needs: each takes its memory when the model is loaded.
    agent = model_router(settings.model_copy(update={"max_sessions": 1, "parallel": 1}), None)
    client = KoelClient(agent, storage=storage)
    try:
        # Loading first lets the error of a bad model come as what it is.
        info = await agent.load()
        if info.notice:
            click.echo(safe_text(f"koel-chat: {info.notice}"), err=True)
        own = wanted.turn_settings(turn_settings(settings))
        session = client.new_session(thread, initial, own, agent.agent(lora=wanted.lora))
        printing = asyncio.create_task(_print_text(session, silent=as_json))
        sending = asyncio.create_task(session.send(prompt))
        # Printing ends before only when nobody reads any more; then nobody waits for the rest.
        await asyncio.wait([sending, printing], return_when=asyncio.FIRST_COMPLETED)
        if printing.done():
            printing.result()
        await sending
        state = session.state
        await session.dispose()
        await printing
    finally:
        await client.dispose()
        await agent.close()
    if as_json:
        click.echo(json.dumps(_as_json(session.thread_id, info.name, state)))
    return _result(state)


def _unless_given(wanted: "ThreadSettings", given: Set[str]) -> "ThreadSettings":
    """Return the settings of a thread without those that were given on the command line."""
    sampling = {name: wanted.sampling[name] for name in wanted.sampling if name not in given}
    others: dict[str, Any] = {each.name: None for each in fields(wanted) if each.name in given}
    return replace(wanted, sampling=sampling, **others)


async def _print_text(session: "ChatSession", *, silent: bool) -> None:
    """Write the answer as it comes; to a terminal without control bytes, to a pipe as it is."""
    from ag_ui.core import TextMessageContentEvent

    shown = safe_text if sys.stdout.isatty() else repair
    async for event in session.events():
        if isinstance(event, TextMessageContentEvent) and not silent:
            click.echo(shown(event.delta), nl=False)
    if not silent:
        click.echo()


def _as_json(thread_id: str, model: str, state: "ChatState") -> dict[str, Any]:
    answered = bool(state.messages) and state.messages[-1].role == "assistant"
    return {
        "thread": thread_id,
        "model": model,
        "text": state.messages[-1].content if answered else "",
        "error": None if state.error is None else str(state.error),
    }


def _result(state: "ChatState") -> int:
    if state.error is None:
        return Exit.OK
    click.echo(safe_text(f"koel-chat: {state.error}"), err=True)
    return exit_named(str(getattr(state.error, "agent_code", "")))
