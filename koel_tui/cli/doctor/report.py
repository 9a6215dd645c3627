"""The report of `koel-chat doctor` as a table."""

from typing import TYPE_CHECKING

from koel_tui.cli.doctor.findings import Finding, Mark, Report
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

_SYMBOLS = {Mark.OK: ("✓", "green"), Mark.WARNING: ("!", "yellow"), Mark.PROBLEM: ("✗", "bold red")}
_MAX_CHARACTERS = 1000


def table(report: Report) -> "RenderableType":
    """Return the findings as one table per section."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    # As Text, so that names in the findings are not parsed as markup.
    width = max(len(each.name) for section in report.sections for each in section.findings)
    parts: list[RenderableType] = []
    for section in report.sections:
        rows = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
        rows.add_column(width=1)
        rows.add_column(width=width)
        rows.add_column(overflow="fold", ratio=1)
        for finding in section.findings:
            sign, style = _SYMBOLS[finding.mark]
            name = Text(safe_line(finding.name), style="dim")
            rows.add_row(Text(sign, style=style), name, _format_finding(finding))
        parts += [Text(section.title, style="bold"), rows]
    return Group(*parts, _format_result(report))


def _format_finding(finding: Finding) -> "Text":
    from rich.text import Text

    text = Text(safe_line(finding.found, _MAX_CHARACTERS))
    if finding.advice:
        text.append(f"\n{safe_line(finding.advice, _MAX_CHARACTERS)}", style="italic")
    return text


def _format_result(report: Report) -> "Text":
    from rich.text import Text

    problems, warnings = report.count(Mark.PROBLEM), report.count(Mark.WARNING)
    noted = f", warnings (!): {warnings}" if warnings else ""
    if problems:
        return Text(f"\nErrors (✗): {problems}{noted}.", style="bold red")
    return Text(f"\nNo errors{noted}.", style="bold green")
