"""The audit of pinned versions in .ci: the cases in which it fails, and those it only reports."""

import importlib.util
import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module  # its dataclass looks it up there
    spec.loader.exec_module(module)
    return module


def package(*fixes: list[str]) -> dict[str, Any]:
    flaws = [{"id": f"PYSEC-{number}", "fix_versions": each} for number, each in enumerate(fixes)]
    return {"name": "shaky", "version": "1.0", "vulns": flaws}


SKIPPED = {"name": "shaky", "skip_reason": "Dependency not found on PyPI"}


@pytest.fixture
def uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a replacement of uv, a program that prints this file; return the file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    said = tmp_path / "said"
    (folder / "uv").write_text(f"#!/bin/sh\ncat {said}\n")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return said


@pytest.mark.parametrize(
    ("packages", "code", "words"),
    [
        ([package()], 0, "audit: 1 packages checked, 0 unknown"),
        ([package(["1.1"])], 1, "VULNERABLE: shaky 1.0: PYSEC-0, fixed in 1.1"),
        ([package([], ["1.1"]), SKIPPED], 1, "VULNERABLE: shaky 1.0: PYSEC-1"),
        ([package([])], 0, "known: shaky 1.0: PYSEC-0, not fixed yet"),
        ([SKIPPED], 0, "audit skipped: none of 1 packages is known"),
    ],
)
def test_a_vulnerability_that_is_fixed_elsewhere_fails_the_run(
    audit: ModuleType, uv: Path, capsys: pytest.CaptureFixture[str],
    packages: list[dict[str, Any]], code: int, words: str,
) -> None:  # fmt: skip
    uv.write_text(json.dumps({"dependencies": packages, "fixes": []}))
    assert audit.main() == code
    assert words in capsys.readouterr().out


def test_the_audit_is_skipped_with_a_notice_when_offline(
    audit: ModuleType, uv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uv.write_text("")
    assert audit.main() == 0
    assert capsys.readouterr().out.startswith("audit skipped: ")


def test_the_audit_waits_for_an_answer_until_its_timeout(audit: ModuleType) -> None:
    begin = time.monotonic()
    with pytest.raises(audit.UnansweredError, match="no answer"):
        audit.report(["sh", "-c", "sleep 30 & wait"], 0.3)
    assert time.monotonic() - begin < 10


def test_without_the_tool_the_reason_is_shown(audit: ModuleType) -> None:
    with pytest.raises(audit.UnansweredError, match="no-such-program"):
        audit.report(["no-such-program"])
    with pytest.raises(audit.UnansweredError, match="no network"):
        audit.report(["sh", "-c", "echo no network >&2; exit 2"])
