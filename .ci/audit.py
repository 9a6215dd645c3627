"""Check the versions pinned in pyproject.toml for known vulnerabilities with pip-audit.

Fails only for a vulnerability that a newer version fixes. If the check is impossible, for instance
offline, the script reports that and succeeds.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYPROJECT = Path(__file__).resolve().parent.parent / "pyproject.toml"
TOOL = "pip-audit==2.10.1"
TIMEOUT_S = 60.0


class UnansweredError(Exception):
    """The audit could not be run; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The numbers of checked and unknown packages, and their known vulnerabilities."""

    checked: int
    unknown: int
    fixed: tuple[str, ...]
    unfixed: tuple[str, ...]

    @classmethod
    def of(cls, report: dict[str, Any]) -> "Answer":
        """Parse a report of pip-audit."""
        known = [each for each in report["dependencies"] if "skip_reason" not in each]
        found = [(each, flaw) for each in known for flaw in each["vulns"]]
        return cls(
            checked=len(known),
            unknown=len(report["dependencies"]) - len(known),
            fixed=tuple(_line(*pair) for pair in found if pair[1]["fix_versions"]),
            unfixed=tuple(_line(*pair) for pair in found if not pair[1]["fix_versions"]),
        )


def _line(package: dict[str, Any], flaw: dict[str, Any]) -> str:
    fixed = ", ".join(flaw["fix_versions"])
    remedy = f"fixed in {fixed}" if fixed else "not fixed yet"
    return f"{package['name']} {package['version']}: {flaw['id']}, {remedy}"


def report(command: list[str], timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Run pip-audit and return its report. Raises `UnansweredError`."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        raise UnansweredError(f"{command[0]}: {error.strerror}") from error
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # including the process that uv started
        process.communicate()
        raise UnansweredError(f"no answer within {timeout_s:.0f} s") from None
    try:
        found: dict[str, Any] = json.loads(output)
    except ValueError:
        last = errors.strip().splitlines()[-1:] or [f"it ended with {process.returncode}"]
        raise UnansweredError(last[0]) from None
    return found


def main() -> int:
    """Run the audit and return the exit code."""
    pins = tomllib.loads(PYPROJECT.read_text())["tool"]["uv"]["constraint-dependencies"]
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(pins) + "\n")
        flags = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json"]
        command = ["uv", "tool", "run", TOOL, *flags, f"--requirement={requirements}"]
        try:
            answer = Answer.of(report(command))
        except UnansweredError as error:
            print(f"audit skipped: {error}")
            return 0
    if not answer.checked:
        print(f"audit skipped: none of {answer.unknown} packages is known")
        return 0
    print(f"audit: {answer.checked} packages checked, {answer.unknown} unknown")
    for line in answer.unfixed:
        print(f"known: {line}")
    for line in answer.fixed:
        print(f"VULNERABLE: {line}")
    return int(bool(answer.fixed))


if __name__ == "__main__":
    sys.exit(main())
