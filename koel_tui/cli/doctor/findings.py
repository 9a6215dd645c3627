"""The findings of checks."""

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from koel_tui.cli.exit_codes import Exit

_MAX_NAMES = 3


class Mark(enum.StrEnum):
    """The severity of a finding: fine, worth knowing, or to be fixed."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check: its name, the result and the remedy.

    `code` is the exit code of a problem. The texts may contain untrusted names.
    """

    name: str
    found: str
    mark: Mark = Mark.OK
    advice: str = ""
    code: Exit = Exit.OK

    def __post_init__(self) -> None:
        if (self.mark is Mark.PROBLEM) != (self.code is not Exit.OK):
            raise ValueError(f"a problem, and nothing else, has an exit code: {self}")


def warning(name: str, found: str, advice: str = "") -> Finding:
    """Return a finding about something that works but is worth knowing."""
    return Finding(name, found, Mark.WARNING, advice)


def problem(name: str, found: str, advice: str, code: Exit) -> Finding:
    """Return a finding about something that must be fixed."""
    return Finding(name, found, Mark.PROBLEM, advice, code)


def format_names(names: Iterable[str]) -> str:
    """Return the first few names and the number of the others."""
    all_names = [*names]
    more = len(all_names) - _MAX_NAMES
    return ", ".join(all_names[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one kind of check."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of all checks."""

    sections: tuple[Section, ...]

    @property
    def code(self) -> Exit:
        """The exit code of the first problem, else `Exit.OK`."""
        return next((each.code for each in self._findings() if each.code), Exit.OK)

    def count(self, mark: Mark) -> int:
        """Return the number of findings with a mark."""
        return sum(each.mark is mark for each in self._findings())

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object; `version` is incremented when the meaning of a field changes."""
        return {
            "version": 1,
            "ok": self.code is Exit.OK,
            "exit": int(self.code),
            "checks": [
                {"section": section.title, **asdict(each), "code": int(each.code)}
                for section in self.sections
                for each in section.findings
            ],
        }

    def _findings(self) -> Iterable[Finding]:
        return (each for section in self.sections for each in section.findings)
