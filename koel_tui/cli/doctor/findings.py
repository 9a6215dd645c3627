"""What a check found."""

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from koel_tui.cli.exit_codes import Exit

_MOST_NAMED = 3


class Mark(enum.StrEnum):
    """How it is: as it should be, worth knowing, or in the way of using the program."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what it was, what was found, and what to do about it.

    `code` is the exit code a problem ends in. Texts may hold names that others chose.
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
    """Return the finding of something that works, but should be known."""
    return Finding(name, found, Mark.WARNING, advice)


def problem(name: str, found: str, advice: str, code: Exit) -> Finding:
    """Return the finding of something that has to be put right."""
    return Finding(name, found, Mark.PROBLEM, advice, code)


def named(names: Iterable[str]) -> str:
    """Return the first of several names, and how many more there are."""
    every = [*names]
    more = len(every) - _MOST_NAMED
    return ", ".join(every[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Section:
    """The findings of one kind."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Examination:
    """Everything that was found."""

    sections: tuple[Section, ...]

    @property
    def code(self) -> Exit:
        """The exit code: that of the first problem."""
        return next((each.code for each in self._findings() if each.code), Exit.OK)

    def count(self, mark: Mark) -> int:
        """Return how many findings have a mark."""
        return sum(each.mark is mark for each in self._findings())

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data; `version` grows when what is here changes its meaning."""
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
