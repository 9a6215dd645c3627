"""The backend of the window."""

from pathlib import Path

from koel_tui.cli.wiring import create_backend
from koel_tui.settings import Settings
from koel_tui.storage import JsonFileStorage
from tests.storage.helpers import encrypted


def test_all_threads_can_be_searched_and_encrypted_ones_leave_no_readable_text(
    tmp_path: Path,
) -> None:
    clear = create_backend(Settings(), JsonFileStorage(tmp_path / "clear"))
    assert (
        clear.index_updater is not None and clear.index is not None and clear.snapshots is not None
    )
    backend = create_backend(Settings(), encrypted(tmp_path / "sealed"))
    assert backend.index is not None and (backend.index_updater, backend.snapshots) == (None, None)
