"""Recovery of unsaved text of a window from the command line."""

import json
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.wiring import open_storage
from koel_tui.conversation.drafts import Draft
from koel_tui.storage.interchange import Thread
from koel_tui.storage.recovery_files import UnsavedWork, write_recovery_file
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from tests.cli.commands import Threads, save
from tests.hostile_summary import Tally
from tests.storage.helpers import MOMENT, saying

TABS = OpenTabs(
    (OpenTab("t", "", Draft("[pasted 30 lines #1] say?", {"[pasted 30 lines #1]": "x"})),)
)


def recovery_file() -> Path:
    """Write a recovery file with a thread and a draft."""
    thread = Thread("t", saying("question", "half an ans"), {"title": "Sea"})
    unsaved = UnsavedWork((thread,), json.loads(TABS.encode()))
    storage = open_storage()
    return write_recovery_file(
        unsaved, paths.recovery_dirs(), storage.codec.encode_recovery, MOMENT
    )


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_import_restores_all_threads_of_a_recovery_file(
    threads: Threads, request: pytest.FixtureRequest, is_encrypted: bool, tally: Tally
) -> None:
    save("other", "Where?", "Here.")
    if is_encrypted:
        request.getfixturevalue("secret")
        assert threads("encrypt").code == 0
    path = recovery_file()
    assert path.suffix == (".sealed" if is_encrypted else ".json")
    said = threads("import", str(path))
    assert said.code == 0, said.err
    assert "Sea" in said.out and "x say?" in said.out
    assert "half an ans" in threads("show", "t").out
    assert path.exists()  # a file that the user names is never removed
    assert "already saved" in threads("import", str(path)).out
    tally("full disk", tried=1)


def test_threads_are_not_encrypted_while_a_recovery_file_exists(
    threads: Threads, secret: Path
) -> None:
    save("other", "Where?", "Here.")
    path = recovery_file()
    said = threads("encrypt")
    assert said.code == 2 and str(path) in said.err
    path.unlink()
    assert threads("encrypt").code == 0
    path = recovery_file()
    assert str(path) in threads("decrypt").err
    path.unlink()
    assert threads("decrypt").code == 0


def test_a_damaged_file_is_named(threads: Threads, tmp_path: Path) -> None:
    path = tmp_path / "unsaved-1.json"
    path.write_text("[]")
    said = threads("import", str(path), str(tmp_path / "unsaved-2.sealed"))
    assert said.code == 66
    assert "unsaved-1.json cannot be imported" in said.err and "no such file" in said.err
