"""All checks of `koel-chat doctor`; an exception in a check becomes a finding."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from koel_tui.cli.doctor import (
    directories,
    engine,
    models,
    settings,
    terminal,
    threads,
    versions,
)
from koel_tui.cli.doctor.findings import Examination, Finding, Section, problem, warning
from koel_tui.cli.doctor.threads import Tell
from koel_tui.cli.exit_codes import Exit

if TYPE_CHECKING:
    from koel_tui.settings import Settings


def examined(way: threads.Access, tell: Tell) -> Examination:
    """Run all checks; `tell` is called with the progress."""
    configuration = settings.look()
    return Examination(
        (
            _section("Terminal", lambda: terminal.judge(terminal.look())),
            _section("Directories", _directories),
            _section("Configuration", lambda: settings.judge(configuration)),
            *_models(configuration.settings, tell),
            _section("Threads", lambda: threads.judge(threads.look(way, tell))),
            _section("Versions", lambda: versions.judge(versions.look())),
        )
    )


def _section(title: str, look: Callable[[], Iterable[Finding]]) -> Section:
    try:
        return Section(title, tuple(look()))
    except OSError as error:
        found, code = f"{error.filename}: {error.strerror}", Exit.NO_DIRECTORY
        advice = "Check the path and its permissions."
    except Exception as error:
        # The error message is not shown, because it may quote a conversation.
        found, code = f"the check failed ({type(error).__name__})", Exit.INTERNAL
        advice = "This is an error of koel-chat itself."
    return Section(title, (problem(title.lower(), found, advice, code),))


def _directories() -> Iterable[Finding]:
    for name, path in directories.places().items():
        yield directories.judge(directories.look(name, path))


def _models(chosen: "Settings | None", tell: Tell) -> Iterable[Section]:
    if chosen is None:
        found = (warning("model", "not looked for: the configuration cannot be used"),)
        return (Section("Models", found), Section("Engine", (_instructions(),)))
    tell("looking for models")
    at_hand: list[models.Models] = []

    def look() -> Iterable[Finding]:
        at_hand.append(models.look(chosen))
        return models.judge(at_hand[0])

    section = _section("Models", look)
    return section, _section("Engine", lambda: _engine(chosen, at_hand, tell))


def _engine(chosen: "Settings", at_hand: list[models.Models], tell: Tell) -> Iterable[Finding]:
    file = at_hand[0].chosen if at_hand and not at_hand[0].error else None
    if file is None:
        return warning("start", "not tried: there is no model to load"), _instructions()
    tell("starting the engine")
    return engine.judge(asyncio.run(engine.try_out(chosen, file))), _instructions()


def _instructions() -> Finding:
    from koel_tui.engine.runner.build_features import instruction_sets

    try:
        return engine.judge_instructions(asyncio.run(instruction_sets()))
    except (OSError, TimeoutError) as error:
        return engine.judge_instructions(error)
