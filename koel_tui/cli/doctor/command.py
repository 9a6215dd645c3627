"""The command `koel-chat doctor`, which checks the installation and the user's data."""

import json

import click

from koel_tui.cli.doctor.checks import run_checks


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Check the installation and your data; change nothing.

    It checks the terminal, the directories, the configuration, the models, every saved thread and
    the versions, and lets the engine write one token. It prints no messages of your threads.

    It ends with 0, or with the exit code of the first error (✗). Warnings (!) do not change the
    exit code.

    \b
    Examples:
      koel-chat doctor
      koel-chat doctor --json | jq '.checks[] | select(.mark != "ok")'
    """
    from rich.console import Console

    from koel_tui.cli.doctor import threads

    access = threads.get_access()  # before the status animation, because it may prompt
    with Console(stderr=True).status("checking") as status:
        report = run_checks(access, status.update)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        from koel_tui.cli.doctor.report import table

        Console(highlight=False).print(table(report))
    return report.code
