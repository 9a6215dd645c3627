"""The command `koel-chat doctor`, which checks the installation and the user's data."""

import json

import click

from koel_tui.cli.doctor.checks import run_checks


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> int:
    """Check whether everything is as it should be here.

    It looks at the terminal, the directories, the configuration, the models and every saved
    thread, and starts the engine to have a token written. Nothing is changed, and nothing of what
    was said is shown.

    It ends with 0 when all is well, else with the code of the first thing to be put right (✗).
    What is only worth knowing (!) counts as well.

    \b
    Examples:
      koel-chat doctor
      koel-chat doctor --json | jq '.checks[] | select(.mark != "ok")'
    """
    from rich.console import Console

    from koel_tui.cli.doctor import threads

    access = threads.get_access()  # before the status animation, because it may prompt
    with Console(stderr=True).status("looking") as status:
        report = run_checks(access, status.update)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        from koel_tui.cli.doctor.report import table

        Console(highlight=False).print(table(report))
    return report.code
