"""Storage contract case 8: a process killed while it saves."""

import json
from pathlib import Path

import pytest

from tests.storage.worker import Toll, start

PATIENCE = 300


def toll(kind: str, folder: Path, rounds: int) -> Toll:
    with start("kills", kind, folder, str(rounds), "1") as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    return Toll(**json.loads(output))


def check(kind: str, folder: Path, rounds: int) -> None:
    paid = toll(kind, folder, rounds)
    print(paid)
    assert paid.rounds == rounds + 1
    assert paid.saves > rounds / 2, "the kills came before anything was saved"
    assert (paid.torn, paid.lost, paid.left_over) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["json", "encrypted"])
def test_storage_case_08_a_kill_leaves_the_old_or_the_new(tmp_path: Path, kind: str) -> None:
    check(kind, tmp_path / "threads", 60)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rounds"), [("json", 1000), ("encrypted", 200)])
@pytest.mark.timeout(PATIENCE)
def test_storage_case_08_a_thousand_kills(tmp_path: Path, kind: str, rounds: int) -> None:
    check(kind, tmp_path / "threads", rounds)


def test_storage_case_08_the_test_finds_a_naive_writer_out(tmp_path: Path) -> None:
    paid = toll("naive", tmp_path / "threads", 60)
    assert paid.torn or paid.lost
