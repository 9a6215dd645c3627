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
from koel_tui.cli.doctor.findings import Finding, Report, Section, problem, warning
from koel_tui.cli.doctor.threads import OnProgress
from koel_tui.cli.exit_codes import Exit

if TYPE_CHECKING:
    from koel_tui.settings import Settings


def run_checks(access: threads.ThreadAccess, on_progress: OnProgress) -> Report:
    """Run all checks; `on_progress` is called with the progress."""
    configuration = settings.inspect()
    return Report(
        (
            _check("Terminal", lambda: terminal.evaluate(terminal.inspect())),
            _check("Directories", _directories),
            _check("Configuration", lambda: settings.evaluate(configuration)),
            *_models(configuration.settings, on_progress),
            _check("Threads", lambda: threads.evaluate(threads.inspect(access, on_progress))),
            _check("Versions", lambda: versions.evaluate(versions.inspect())),
        )
    )


def _check(title: str, inspect: Callable[[], Iterable[Finding]]) -> Section:
    try:
        return Section(title, tuple(inspect()))
    except OSError as error:
        found, code = f"{error.filename}: {error.strerror}", Exit.NO_DIRECTORY
        advice = "Check the path and its permissions."
    except Exception as error:
        # The error message is not shown, because it may quote a conversation.
        found, code = f"the check failed ({type(error).__name__})", Exit.INTERNAL
        advice = "This is an internal error of koel-chat. Report it."
    return Section(title, (problem(title.lower(), found, advice, code),))


def _directories() -> Iterable[Finding]:
    for name, path in directories.program_directories().items():
        yield directories.evaluate(directories.inspect(name, path))


def _models(chosen: "Settings | None", on_progress: OnProgress) -> Iterable[Section]:
    if chosen is None:
        found = (warning("model", "not checked: the configuration cannot be used"),)
        return (Section("Models", found), Section("Engine", (_instructions(),)))
    on_progress("looking for models")
    inspected: list[models.Models] = []  # stays empty if the check fails

    def inspect() -> Iterable[Finding]:
        inspected.append(models.inspect(chosen))
        return models.evaluate(inspected[0])

    section = _check("Models", inspect)
    return section, _check("Engine", lambda: _engine(chosen, inspected, on_progress))


def _engine(
    chosen: "Settings", inspected: list[models.Models], on_progress: OnProgress
) -> Iterable[Finding]:
    file = inspected[0].chosen if inspected and not inspected[0].error else None
    if file is None:
        return warning("start", "not tested: there is no model to load"), _instructions()
    on_progress("starting the engine")
    return engine.evaluate(asyncio.run(engine.run_engine_test(chosen, file))), _instructions()


def _instructions() -> Finding:
    from koel_tui.engine.runner.build_features import instruction_sets

    try:
        return engine.evaluate_instructions(asyncio.run(instruction_sets()))
    except (OSError, TimeoutError) as error:
        return engine.evaluate_instructions(error)
