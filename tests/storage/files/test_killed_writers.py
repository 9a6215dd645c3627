"""Processes that are killed while they save: storage contract case 8."""

import json
from pathlib import Path

import pytest

from tests.hostile_summary import Tally
from tests.storage.worker import Toll, start

TIMEOUT_S = 300
KILOBYTES = 1000


def toll(kind: str, folder: Path, rounds: int, size: int = 20 * KILOBYTES) -> Toll:
    with start("kills", kind, folder, str(rounds), "1", str(size)) as process:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    return Toll(**json.loads(output))


def check(tally: Tally, kind: str, folder: Path, rounds: int, size: int = 20 * KILOBYTES) -> None:
    paid = toll(kind, folder, rounds, size)
    print(paid)
    assert paid.rounds == rounds + 1
    assert paid.saves > rounds / 2, "the kills came before anything was saved"
    assert (paid.torn, paid.lost, paid.left_over) == (0, 0, 0)
    tally("killed save", tried=rounds, lost=paid.torn + paid.lost)


@pytest.mark.parametrize("kind", ["json", "encrypted", "json-journal", "encrypted-journal"])
def test_storage_case_08_a_kill_leaves_the_old_or_the_new(
    tmp_path: Path, kind: str, tally: Tally
) -> None:
    check(tally, kind, tmp_path / "threads", 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rounds"),
    [("json", 1000), ("encrypted", 200), ("json-journal", 1000), ("encrypted-journal", 200)],
)
@pytest.mark.timeout(TIMEOUT_S)
def test_storage_case_08_a_thousand_kills_leave_the_old_or_the_new(
    tmp_path: Path, kind: str, rounds: int, tally: Tally
) -> None:
    check(tally, kind, tmp_path / "threads", rounds)


@pytest.mark.slow
@pytest.mark.timeout(TIMEOUT_S)
def test_kills_while_two_megabytes_are_saved_lose_nothing(tmp_path: Path, tally: Tally) -> None:
    check(tally, "json", tmp_path / "threads", 300, 2000 * KILOBYTES)


def test_storage_case_08_the_test_detects_a_naive_writer(tmp_path: Path) -> None:
    paid = toll("naive", tmp_path / "threads", 60)
    assert paid.torn or paid.lost
