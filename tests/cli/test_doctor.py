"""`koel-chat doctor`: it finds what is wrong, says what to do, and changes nothing."""

import asyncio
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
from filelock import FileLock
from rich.console import Console

from koel_tui import paths
from koel_tui.cli.doctor import directories, engine, examining, models, settings, terminal, threads
from koel_tui.cli.doctor.finding import Examination, Finding, Mark, Section, problem, warning
from koel_tui.cli.doctor.report import table
from koel_tui.cli.exits import Exit
from koel_tui.cli.main import run
from koel_tui.settings import load_settings
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.file_storage import FileStorage
from koel_tui.storage.search import ThreadIndex, index_file
from tests.engine.tiny_models import write_sliding_model
from tests.models.gguf_file import write_gguf
from tests.storage.helpers import encrypted, file_name, saying

CANARY = "canary-7f3a"
"""Said in every thread, and set in every configuration: it must never be shown."""


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything below a directory, with all that a change of it would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest = hashlib.sha256(data).hexdigest()
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, digest)
    return found


def fill(storage: FileStorage, count: int = 3) -> None:
    """Save some threads, with a title each."""

    async def save() -> None:
        for number in range(count):
            await storage.save(f"t{number}", saying(f"{CANARY} {number}", "an answer"))
            await storage.update_meta(f"t{number}", title=f"title {CANARY} {number}")

    asyncio.run(save())


def index(storage: FileStorage) -> Path:
    """Make the search index as a window does."""

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
    """Examine the threads, and see that this changed nothing and told nothing of them."""
    before = tree(home)
    findings = threads.judge(threads.look(threads.access(), lambda words: None))
    assert tree(home) == before
    assert CANARY not in repr(findings)
    return {each.name: each for each in findings}


def printed(examination: Examination, width: int = 80) -> str:
    console = Console(width=width, highlight=False)
    with console.capture() as shown:
        console.print(table(examination))
    return shown.get()


def test_doctor_on_a_new_computer_all_is_well_and_stays_as_it_is(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = write_sliding_model(tmp_path / "tiny.gguf")
    monkeypatch.setenv("KOEL_MODEL", str(model))
    before = tree(private_home)
    assert run(["doctor", "--json"]) == 0
    assert tree(private_home) == before
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["version"], said["ok"], said["exit"]) == (1, True, 0)
    keys = {"section", "name", "mark", "found", "advice", "code"}
    assert all(set(each) == keys for each in said["checks"])
    found = {(each["section"], each["name"]): each for each in said["checks"]}
    assert {section for section, _ in found} == {
        "Terminal", "Directories", "Configuration", "Models", "Engine", "Threads", "Versions",
    }  # fmt: skip
    assert "tiny.gguf loaded in" in found["Engine", "start"]["found"]
    assert found["Engine", "llama.cpp"]["mark"] == "ok"
    assert found["Versions", "textual"]["mark"] == "ok"


# Terminal

GOOD = terminal.Terminal(True, {"TERM": "xterm-kitty"}, 120, 40, "truecolor", "UTF-8", "xclip", "")


def marked(found: terminal.Terminal) -> dict[str, str]:
    return {each.name: each.found for each in terminal.judge(found) if each.mark is not Mark.OK}


def test_doctor_a_good_terminal_has_no_warning() -> None:
    assert marked(GOOD) == {}


@pytest.mark.parametrize(
    ("changed", "environ", "name"),
    [
        ({"is_one": False}, {}, "terminal"),
        ({}, {"TERM": "dumb"}, "terminal"),
        ({}, {"TERM": ""}, "terminal"),
        ({"columns": 59}, {}, "size"),
        ({"rows": 14}, {}, "size"),
        ({"columns": 0}, {}, "size"),
        ({"colours": None}, {}, "colours"),
        ({"colours": "256"}, {}, "colours"),
        ({"encoding": "ISO-8859-1"}, {}, "characters"),
        ({}, {"TERM": "linux"}, "focus"),
        ({"tmux_focus": "off"}, {"TMUX": "x"}, "focus"),
    ],
)
def test_doctor_each_lack_of_a_terminal_is_a_warning(
    changed: Mapping[str, Any], environ: Mapping[str, str], name: str
) -> None:
    found = replace(GOOD, **changed, environ={**GOOD.environ, **environ})
    assert name in marked(found)
    assert all(each.mark is not Mark.PROBLEM for each in terminal.judge(found))


def test_doctor_says_what_is_between_and_how_text_is_copied() -> None:
    environ = {"TERM": "tmux", "TMUX": "x", "SSH_TTY": "y", "DISPLAY": ":0"}
    away = replace(GOOD, clipboard="", tmux_focus="on", environ=environ)
    said = {each.name: f"{each.found} {each.advice}" for each in terminal.judge(away)}
    assert said["between"].startswith("tmux, ssh")
    assert "set-clipboard on" in said["clipboard"] and "xclip" not in said["clipboard"]
    here = replace(GOOD, clipboard="", environ={"DISPLAY": ":0"})
    assert "install xclip" in " ".join(each.advice for each in terminal.judge(here))


# Directories

PLACE = directories.Place(
    "data", Path("/d"), Path("/d"), is_there=True, free=10**9, file_system="ext4"
)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, Exit.OK),
        ({"is_directory": False}, Exit.NO_DIRECTORY),
        ({"ours": False}, Exit.NO_DIRECTORY),
        ({"writable": False}, Exit.NO_DIRECTORY),
        ({"writable": False, "is_there": False}, Exit.NO_DIRECTORY),
        ({"mode": 0o770}, Exit.NO_DIRECTORY),
        ({"free": 4096}, Exit.SAVE_FAILED),
    ],
)
def test_doctor_what_is_wrong_with_a_directory_has_a_code(
    changed: Mapping[str, Any], code: Exit
) -> None:
    found = directories.judge(replace(PLACE, **changed))
    assert found.code is code and bool(found.advice) is (code is not Exit.OK)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mode": 0o755}, "look inside"),
        ({"free": 5_000_000}, "Make room"),
        ({"file_system": "nfs4"}, "Locks"),
        ({"link": "/elsewhere"}, "one of yours"),
    ],
)
def test_doctor_what_is_worth_knowing_of_a_directory_is_a_warning(
    changed: Mapping[str, Any], words: str
) -> None:
    found = directories.judge(replace(PLACE, **changed))
    assert found.mark is Mark.WARNING and words in found.advice


def test_doctor_looks_at_directories_as_they_are(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    there = directories.look("data", private)
    assert (there.is_there, there.mode, there.ours, there.writable) == (True, 0o700, True, True)
    assert there.free > 0 and there.file_system
    absent = directories.look("data", private / "a" / "b")
    assert (absent.is_there, absent.parent, absent.is_directory) == (False, private, True)
    (tmp_path / "link").symlink_to(private)
    assert directories.look("data", tmp_path / "link").link == str(private)
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "nowhere"):
        assert directories.judge(directories.look("data", path)).code is Exit.NO_DIRECTORY


# Configuration


@pytest.mark.parametrize(
    "text",
    [f"{CANARY} is no toml", f"parallel = '{CANARY}'", f"modle = '{CANARY}'",
     f'[keys]\n"tab.new" = "{CANARY} {CANARY}"', "a = [" * 10_000, "\x00", "parallel = 10000"],
)  # fmt: skip
def test_doctor_a_configuration_that_cannot_be_used_is_78_and_tells_no_value(text: str) -> None:
    paths.config_file().parent.mkdir(parents=True)
    paths.config_file().write_text(text)
    first, *_ = settings.judge(settings.look())
    assert first.code is Exit.BAD_CONFIG and first.found
    assert CANARY not in first.found or "keys" in text


def test_doctor_a_variable_that_is_no_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOEL_THEEM", CANARY)
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", "/somewhere")
    _, variables = settings.judge(settings.look())
    assert variables.mark is Mark.WARNING and "KOEL_THEME" in variables.advice
    assert CANARY not in variables.found and "KOEL_PASSPHRASE" not in variables.found


def test_doctor_a_folder_of_models_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOEL_MODEL_FOLDERS", "/nowhere/at/all")
    assert settings.judge(settings.look())[-1].found.startswith("/nowhere/at/all")


# Models and engine


def test_doctor_models_are_looked_into(
    tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(private_home / "models" / "good.gguf")
    (private_home / "models" / "bad.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("KOEL_MODEL", str(private_home / "models" / "bad.gguf"))
    _, chosen, found = models.judge(models.look(load_settings()))
    assert chosen.code is Exit.NO_MODEL and "cut off" in chosen.found
    assert found.mark is Mark.WARNING and found.found.endswith("not usable: bad")
    monkeypatch.setenv("KOEL_MODEL", "good")
    assert "not tried" in models.judge(models.look(load_settings()))[1].found


async def test_doctor_an_engine_that_does_not_start_is_told(tmp_path: Path) -> None:
    good = write_sliding_model(tmp_path / "good.gguf")
    bad = tmp_path / "bad.gguf"
    shutil.copy(good, bad)
    reader = gguf.GGUFReader(bad, "r+")
    field = reader.fields["gemma3.block_count"]
    field.parts[field.data[0]][0] = 513
    reader.data.flush()
    trial = await engine.try_out(load_settings(), bad)
    found = engine.judge(trial)
    assert found.code in (Exit.ENGINE_DIED, Exit.NO_MODEL)
    assert "Details are in" not in found.found and found.advice


# Threads


def test_doctor_threads_that_are_whole(private_home: Path) -> None:
    storage = saved()
    index(storage)
    found = look_at_threads(private_home)
    assert {each.mark for each in found.values()} == {Mark.OK}
    assert found["threads"].found == "3 can be read to the end"
    assert found["search index"].found == "agrees with all 3 threads"


def test_doctor_damaged_threads_are_74_and_named_by_their_files(private_home: Path) -> None:
    saved()
    for number, content in enumerate((b"", b'{"format":"koel-chat/thread"}')):
        (paths.threads_dir() / file_name(f"t{number}")).write_bytes(content)
    found = look_at_threads(private_home)
    assert found["damaged"].code is Exit.SAVE_FAILED
    assert file_name("t0") in found["damaged"].found and file_name("t1") in found["damaged"].found
    assert found["threads"].found == "1 can be read to the end"


def test_doctor_damage_inside_a_message_is_found(private_home: Path) -> None:
    saved()
    path = paths.threads_dir() / file_name("t0")
    wire = json.loads(path.read_bytes())
    wire["state"]["messages"][1]["content"] = {CANARY: 1}
    path.write_text(json.dumps(wire))
    assert look_at_threads(private_home)["damaged"].found == f"1 cannot be read: {path.name}"


def test_doctor_counts_what_lies_beside_the_threads(private_home: Path) -> None:
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


def test_doctor_an_index_that_lies_is_a_problem_and_one_that_is_behind_is_not(
    private_home: Path,
) -> None:
    import sqlite3

    storage = saved()
    file = index(storage)
    asyncio.run(storage.save("t0", saying("more")))
    asyncio.run(storage.delete("t1"))
    behind = look_at_threads(private_home)["search index"]
    assert behind.mark is Mark.OK and behind.found.startswith("1 threads changed since, 1 are gone")
    index(storage)
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM said WHERE rowid = (SELECT max(rowid) FROM said)")
    connection.close()
    assert look_at_threads(private_home)["search index"].code is Exit.SAVE_FAILED
    file.write_bytes(file.read_bytes()[:5000])
    assert look_at_threads(private_home)["search index"].mark is Mark.WARNING


def test_doctor_an_index_in_use_is_left_alone(private_home: Path) -> None:
    file = index(saved())
    file.with_name(f"{file.name}-wal").write_bytes(b"changes")
    assert "in use" in look_at_threads(private_home)["search index"].found


@pytest.fixture
def sealed(secret: Path) -> FileStorage:
    storage = encrypted(paths.threads_dir())
    fill(storage)
    return storage


def test_doctor_encrypted_threads_are_read_with_the_key(
    private_home: Path, sealed: FileStorage
) -> None:
    found = look_at_threads(private_home)
    assert {each.mark for each in found.values()} == {Mark.OK}
    assert found["threads"].found == "3 can be read to the end"
    name = next(paths.threads_dir().glob("t-*.sealed"))
    name.write_bytes(name.read_bytes()[:-1])
    assert look_at_threads(private_home)["damaged"].found == f"1 cannot be read: {name.name}"


def test_doctor_without_a_terminal_no_passphrase_is_asked_for(
    private_home: Path, sealed: FileStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KOEL_PASSPHRASE_FILE")
    found = look_at_threads(private_home)
    assert found["threads"].mark is Mark.WARNING and "not read" in found["threads"].found
    assert found["quarantine"].found == "0"


def test_doctor_a_wrong_key_and_a_damaged_one_are_told_apart(
    private_home: Path, sealed: FileStorage, secret: Path
) -> None:
    secret.write_text(CANARY)
    assert look_at_threads(private_home)["threads"].code is Exit.WRONG_PASSPHRASE
    key = paths.threads_dir() / "keys.json"
    key.write_bytes(key.read_bytes()[:-2])
    assert look_at_threads(private_home)["threads"].code is Exit.SAVE_FAILED


def test_doctor_what_is_in_clear_of_encrypted_threads_is_a_problem(
    private_home: Path, sealed: FileStorage
) -> None:
    file = index_file(paths.cache_dir(), sealed.directory)
    file.parent.mkdir(parents=True)
    file.touch()
    assert look_at_threads(private_home)["in clear"].code is Exit.SAVE_FAILED


# The whole


def test_doctor_one_check_that_fails_keeps_no_other_from_being_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> object:
        raise ValueError(CANARY)

    monkeypatch.setattr(threads, "look", broken)
    monkeypatch.setattr(examining, "_models", lambda *_: ())
    examination = examining.examined(threads.Access(), lambda words: None)
    assert examination.code is Exit.INTERNAL
    assert CANARY not in json.dumps(examination.as_json())
    assert examination.sections[-1].title == "Versions" and examination.sections[-1].findings


@pytest.mark.parametrize("width", [80, 60])
def test_doctor_the_table_fits_and_shows_names_as_they_are(width: int) -> None:
    examination = Examination((
        Section("First", (Finding("a", "[red]x[/red] \x1b]0;evil\x07 \u202e"),
                          warning("b", "w" * 200, "advice"))),
        Section("Second", (problem("c", "p", "do this", Exit.LOCKED),)),
    ))  # fmt: skip
    text = printed(examination, width)
    assert max(map(len, text.splitlines())) <= width
    assert "[red]x[/red]" in text and not {"\x1b", "\x07", "\u202e"} & {*text}
    assert "✓ a" in text and "! b" in text and "✗ c" in text and "do this" in text
    assert "1 to be put right (✗), 1 worth knowing (!)." in text
    assert examination.code is Exit.LOCKED


def test_doctor_warnings_alone_are_well() -> None:
    examination = Examination((Section("Only", (warning("a", "b"),)),))
    assert examination.code is Exit.OK and "All is well, 1 worth knowing" in printed(examination)
