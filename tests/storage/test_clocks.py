"""Saves with a clock that jumps or stops: their order does not depend on the clock."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from koel_tui.protocol.codec.state_codec import decode_time
from koel_tui.storage import JsonFileStorage
from tests.hostile_summary import Tally
from tests.storage.helpers import MOMENT, file_name, saying, words

STEPS = 5
_AUTUMN = datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
CLOCKS: dict[str, Callable[[int], datetime]] = {
    "a day back at each step": lambda step: MOMENT - timedelta(days=step),
    "ten years on and back": lambda step: MOMENT + timedelta(days=3652 * (step % 2)),
    "frozen": lambda step: MOMENT,
    "the hour that comes twice": lambda step: _AUTUMN.replace(fold=step % 2).astimezone(UTC),
}


@pytest.mark.parametrize("clock", CLOCKS)
async def test_saves_keep_their_order_with_any_clock(
    tmp_path: Path, clock: str, tally: Tally
) -> None:
    step = 0
    storage = JsonFileStorage(tmp_path, clock=lambda: CLOCKS[clock](step))
    gens = []
    for step in range(STEPS):
        await storage.save("t", saying(*(str(said) for said in range(step + 1))))
        wire = json.loads((tmp_path / file_name("t")).read_bytes())
        gens.append(wire["gen"])
        created, updated = (decode_time(wire["meta"][key]) for key in ("created", "updated"))
        assert updated >= created
        assert words(await JsonFileStorage(tmp_path).load("t")) == [
            str(said) for said in range(step + 1)
        ]
    assert gens == list(range(1, STEPS + 1))
    assert storage.conflicts == ()
    (summary,) = await storage.summaries()
    assert summary.updated >= summary.created
    tally("wrong clock", tried=STEPS)
