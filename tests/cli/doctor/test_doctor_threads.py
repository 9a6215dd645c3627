"""`koel-chat doctor` with saved threads: it finds all damage and changes nothing."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from filelock import FileLock

from koel_tui import paths
from koel_tui.cli.doctor import threads
from koel_tui.cli.doctor.findings import Finding, Mark
from koel_tui.cli.exit_codes import Exit
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.search.connection import VERSION
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from tests.cli.doctor.doctor_report import CANARY, tree
from tests.storage.helpers import encrypted, file_name, saying


def fill(storage: FileStorage, count: int = 3) -> None:
    """Save some threads with titles."""

    async def save() -> None:
        for number in range(count):
            await storage.save(f"t{number}", saying(f"{CANARY} {number}", "an answer"))
            await storage.update_meta(f"t{number}", title=f"title {CANARY} {number}")

    asyncio.run(save())


def index(storage: FileStorage) -> Path:
    """Build the search index as the window does."""

    async def make() -> None:
        found = ThreadIndex(storage, paths.cache_dir())
        await found.refresh()
        await found.close()

    asyncio.run(make())
    return index_file(paths.cache_dir(), storage.directory)


def saved() -> JsonFileStorage:
    storage = JsonFileStorage(paths.threads_dir())
    fill(storage)
    return storage


def look_at_threads(home: Path) -> dict[str, Finding]:
    """Examine the threads; check that nothing changes and that no content is shown."""
    before = tree(home)
    findings = threads.evaluate(threads.inspect(threads.get_access(), lambda words: None))
    assert tree(home) == before
    assert CANARY not in repr(findings)
    return {each.name: each for each in findings}


def test_doctor_intact_threads_are_ok(private_home: Path) -> None:
    storage = saved()
    index(storage)
    found = look_at_threads(private_home)
    assert {each.mark for each in found.values()} == {Mark.OK}
    assert found["threads"].found == "3 readable"
    assert found["search index"].found == "agrees with all 3 threads"


def test_doctor_damaged_threads_are_74_and_named_by_their_files(private_home: Path) -> None:
    saved()
    for number, content in enumerate((b"", b'{"format":"koel-chat/thread"}')):
        (paths.threads_dir() / file_name(f"t{number}")).write_bytes(content)
    found = look_at_threads(private_home)
    assert found["damaged"].code is Exit.SAVE_FAILED
    assert file_name("t0") in found["damaged"].found and file_name("t1") in found["damaged"].found
    assert found["threads"].found == "1 readable"


def test_doctor_damage_inside_a_message_is_found(private_home: Path) -> None:
    saved()
    path = paths.threads_dir() / file_name("t0")
    wire = json.loads(path.read_bytes())
    wire["state"]["messages"][1]["content"] = {CANARY: 1}
    path.write_text(json.dumps(wire))
    assert look_at_threads(private_home)["damaged"].found == f"1 cannot be read: {path.name}"


def test_doctor_counts_the_other_files_in_the_thread_directory(private_home: Path) -> None:
    storage = saved()
    asyncio.run(storage.trash("t2"))
    directory = paths.threads_dir()
    stem = file_name("t0").removesuffix(".json")
    wire = json.loads((directory / file_name("t1")).read_bytes())
    (directory / file_name("t1")).write_text(json.dumps({**wire, "schema": 999}))
    (directory / f"{stem}.conflict-2.json").touch()
    (directory / f"{stem}.schema-0-abc.json").touch()
    (directory / f".{stem}.json.0123456789abcdef.tmp").touch()
    (directory / file_name("link")).symlink_to(directory / file_name("t0"))
    for folder, name in (("threads/quarantine", "x.json"), ("recovery", "x.json")):
        (paths.data_dir() / folder).mkdir()
        (paths.data_dir() / folder / name).touch()
    with FileLock(directory / "locks" / f"{stem}.lock"):
        found = look_at_threads(private_home)
    assert found["locks"].found.startswith("1 held now, ")
    assert found["in the trash"].found == found["older copies"].found[:1] == "1"
    for name in ("newer", "quarantine", "conflicts", "left over", "links", "recovery"):
        assert found[name].mark is Mark.WARNING and found[name].found.startswith("1 "), name
    assert look_at_threads(private_home)["locks"].found.startswith("0 held now, ")


def test_doctor_counts_the_files_in_every_recovery_directory(private_home: Path) -> None:
    saved()
    for directory in paths.recovery_dirs():
        directory.mkdir(parents=True, mode=0o700)
        (directory / "x.json").touch()
    assert look_at_threads(private_home)["recovery"].found.startswith("3 files")


def test_doctor_a_wrong_index_is_a_problem_and_an_outdated_one_is_not(
    private_home: Path,
) -> None:
    storage = saved()
    file = index(storage)
    asyncio.run(storage.save("t0", saying("more")))
    asyncio.run(storage.delete("t1"))
    behind = look_at_threads(private_home)["search index"]
    assert behind.mark is Mark.OK
    assert behind.found.startswith("1 threads changed since, 1 were deleted")
    index(storage)
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM said WHERE rowid = (SELECT max(rowid) FROM said)")
    connection.close()
    assert look_at_threads(private_home)["search index"].code is Exit.SAVE_FAILED
    file.write_bytes(file.read_bytes()[:5000])
    assert look_at_threads(private_home)["search index"].mark is Mark.WARNING


def test_doctor_an_index_of_another_version_is_built_again_at_its_next_use(
    private_home: Path,
) -> None:
    storage = saved()
    file = index(storage)
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    old = look_at_threads(private_home)["search index"]
    assert old.mark is Mark.WARNING and f"its version is 2 instead of {VERSION}" in old.found
    assert old.advice == "The next search builds it again."
    index(storage)
    assert look_at_threads(private_home)["search index"].found == "agrees with all 3 threads"


def test_doctor_an_index_in_use_is_left_alone(private_home: Path) -> None:
    file = index(saved())
    file.with_name(f"{file.name}-wal").write_bytes(b"changes")
    assert "in use" in look_at_threads(private_home)["search index"].found


@pytest.fixture
def encrypted_storage(secret: Path) -> FileStorage:
    storage = encrypted(paths.threads_dir())
    fill(storage)
    return storage


def test_doctor_encrypted_threads_are_read_with_the_key(
    private_home: Path, encrypted_storage: FileStorage
) -> None:
    found = look_at_threads(private_home)
    assert {each.mark for each in found.values()} == {Mark.OK}
    assert found["threads"].found == "3 readable"
    name = next(paths.threads_dir().glob("t-*.sealed"))
    name.write_bytes(name.read_bytes()[:-1])
    assert look_at_threads(private_home)["damaged"].found == f"1 cannot be read: {name.name}"


def test_doctor_without_a_terminal_no_passphrase_is_asked_for(
    private_home: Path, encrypted_storage: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOEL_PASSPHRASE_FILE")
    found = look_at_threads(private_home)
    assert found["threads"].mark is Mark.WARNING and "not read" in found["threads"].found
    assert found["quarantine"].found == "0"


def test_doctor_a_wrong_key_and_a_damaged_one_are_distinguished(
    private_home: Path, encrypted_storage: FileStorage, secret: Path
) -> None:
    secret.write_text(CANARY)
    assert look_at_threads(private_home)["threads"].code is Exit.WRONG_PASSPHRASE
    key = paths.threads_dir() / "keys.json"
    key.write_bytes(key.read_bytes()[:-2])
    assert look_at_threads(private_home)["threads"].code is Exit.SAVE_FAILED


def test_doctor_unencrypted_data_of_encrypted_threads_is_a_problem(
    private_home: Path, encrypted_storage: FileStorage
) -> None:
    file = index_file(paths.cache_dir(), encrypted_storage.directory)
    file.parent.mkdir(parents=True)
    file.touch()
    assert look_at_threads(private_home)["unencrypted"].code is Exit.SAVE_FAILED
