"""Threads, searches, trash, recovery files, models and snapshots of version 0.1 in this version.

`expected.json` is what 0.1 itself read from the same directories.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ag_ui.core import AssistantMessage, CustomEvent, RunAgentInput, UserMessage

from koel_tui import paths
from koel_tui.agents import METRICS, LocalAgent, Snapshots
from koel_tui.engine import Engine, ModelSpec, Sampling, TurnSettings
from koel_tui.models.choose import model_path
from koel_tui.models.downloaded import partial_downloads
from koel_tui.models.probe import verified_models
from koel_tui.models.verified_models import ModelProperties
from koel_tui.protocol import encode_state
from koel_tui.session.settings import ThreadSettings
from koel_tui.storage import EncryptedFileStorage, JsonFileStorage, Passphrase
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.interchange import ExportFormat, export_thread, load_thread
from koel_tui.storage.recovery_files import find_recovery_files, read_recovery_file
from tests.cli.commands import Threads
from tests.upgrade.directories import FULL, expected, install

EXPECTED = expected()
EXPORTS: dict[str, dict[str, Any]] = EXPECTED["threads"]["exports"]
NAMED = [name for name in EXPORTS if name and name.isprintable()]
"""The ids that can be written on a command line."""
UNTITLED = "notes.txt: ``` The harbour was quiet. I wrote that down.…"
LISTED = [
    # Without a saved title, 0.1 showed the attached file, and this version shows the question.
    {**row, "title": "What is in it?"} if row["title"] == UNTITLED else row
    for row in EXPECTED["threads"]["list"]
]
SNAPSHOT_THREAD = "thread with a snapshot"


@pytest.fixture(params=["plain", "encrypted"])
def storage(request: pytest.FixtureRequest, private_home: Path) -> FileStorage:
    """Give the threads of 0.1, unencrypted and encrypted."""
    install(FULL / request.param, private_home)
    if request.param == "plain":
        return JsonFileStorage(paths.threads_dir())
    passphrase = (private_home / "passphrase").read_text()
    return EncryptedFileStorage(paths.threads_dir(), key=Passphrase(lambda new: passphrase))


@pytest.fixture(params=["plain", "encrypted"])
def threads(
    request: pytest.FixtureRequest,
    private_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Threads:
    """Give `koel-chat threads` on the threads of 0.1, unencrypted and encrypted."""
    install(FULL / request.param, private_home)
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", str(private_home / "passphrase"))
    return Threads(capsys)


def by_id(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: str(row["id"]))


async def test_every_thread_has_every_field_and_branch(storage: FileStorage) -> None:
    assert sorted(await storage.list_threads()) == sorted(EXPORTS)
    for name, exported in EXPORTS.items():
        state = await storage.load(name)
        assert state is not None
        assert encode_state(state) == json.dumps(exported["state"], separators=(",", ":"))
        assert await storage.meta(name) == exported["meta"]
        assert json.loads(export_thread(await load_thread(storage, name), ExportFormat.JSON)) == (
            exported
        )
    assert storage.damaged == ()


async def test_the_settings_of_a_thread_are_all_usable(storage: FileStorage) -> None:
    meta = await storage.meta("every field")
    settings = ThreadSettings.of_meta(meta)
    assert settings.unusable == {}
    assert {name: meta[name] for name in settings.meta if name in meta} == {
        name: value for name, value in settings.meta.items() if value is not None
    }


async def test_a_thread_saved_again_is_backed_up_and_has_everything_that_it_had(
    private_home: Path,
) -> None:
    install(FULL / "plain", private_home)
    storage = JsonFileStorage(paths.threads_dir())
    before = {path: json.loads(path.read_text()) for path in paths.threads_dir().glob("t-*.json")}
    for name in EXPORTS:
        state = await storage.load(name)
        assert state is not None
        await storage.save(name, state)
    settled = {"phase running", "phase stepRunning", "every field"}
    for path, old in before.items():
        new = json.loads(path.read_text())
        if ".conflict-" in path.name:
            assert new == old
            continue
        assert new["schema"] == 2 and new["gen"] == old["gen"] + 1
        assert new["summary"]["messages"] == len(new["state"]["messages"])
        (backup,) = path.parent.glob(f"{path.stem}.schema-1-*.json")
        assert json.loads(backup.read_text()) == old
        assert {**new["meta"], "updated": old["meta"]["updated"]} == old["meta"]
        if old["id"] not in settled:
            assert new["state"] == old["state"]


def test_the_commands_list_show_and_export_what_0_1_did(threads: Threads) -> None:
    listed = threads("list", "--json")
    assert by_id(listed.rows) == by_id(LISTED)
    assert listed.err == ""
    shown = threads("show", "every field", "--json")
    assert shown.rows == [EXPORTS["every field"]["state"]]
    assert "It is Paris." not in threads("show", "Capitals").out  # it is in a branch not shown
    assert "Paris and Rome." in threads("show", "Capitals").out
    exported = threads("export", "Capitals", "--format", "json", "--output", "-")
    assert exported.rows == [next(each for each in EXPORTS.values() if titled(each, "Capitals"))]


def test_every_thread_can_be_exported_by_its_id(
    private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(FULL / "plain", private_home)
    threads = Threads(capsys)
    for name in NAMED:
        for form in ("json", "koel", "markdown", "html"):
            said = threads("export", name, "--format", form, "--output", "-")
            assert (said.code, said.err) == (0, "")
            assert form != "json" or said.rows == [EXPORTS[name]]


def titled(exported: dict[str, Any], title: str) -> bool:
    return bool(exported["meta"].get("title") == title)


def test_the_search_finds_what_0_1_found(threads: Threads) -> None:
    searches = list(EXPECTED["searches"].items())
    encrypted = (paths.threads_dir() / "keys.json").exists()  # the key takes its time
    for text, hits in searches[: 2 if encrypted else None]:
        found = threads("search", text, "--json").rows
        assert sorted([hit["thread"], hit["message"]] for hit in found) == hits, text


def test_the_trash_can_be_restored(threads: Threads) -> None:
    trashed = EXPECTED["threads"]["trash"]
    assert by_id(threads("list", "--trash", "--json").rows) == trashed
    assert threads("restore", *(row["id"] for row in trashed)).code == 0
    listed = threads("list", "--json").rows
    assert by_id(listed) == by_id([*LISTED, *trashed])
    assert threads("list", "--trash", "--json").rows == []


def test_decrypted_threads_are_those_of_0_1(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(FULL / "encrypted", private_home)
    monkeypatch.setenv("KOEL_PASSPHRASE_FILE", str(private_home / "passphrase"))
    threads = Threads(capsys)
    for path in find_recovery_files(paths.recovery_dirs()):
        assert threads("import", str(path)).code == 0
        path.unlink()
    assert threads("decrypt").code == 0
    clear = {path.name for path in paths.threads_dir().rglob("t-*.json")}
    before = {path.name for path in (FULL / "plain" / "data").rglob("t-*.json")}
    assert before < clear and len(clear - before) == 2  # the recovery file had a thread and a draft
    check_conflict_file(threads)


def test_a_conflict_file_can_be_imported(
    private_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(FULL / "plain", private_home)
    check_conflict_file(Threads(capsys))


def check_conflict_file(threads: Threads) -> None:
    (conflict_file,) = paths.threads_dir().glob("*.conflict-*")
    said = threads("import", str(conflict_file), "--json")
    assert (said.code, said.rows[0]["new"]) == (0, True)
    assert "Mine." in threads("show", str(said.rows[0]["id"])).out
    assert "Theirs." in threads("show", "conflict").out


def test_recovery_files_can_be_imported(threads: Threads) -> None:
    for path in find_recovery_files(paths.recovery_dirs()):
        said = threads("import", str(path), "--json")
        assert (said.code, said.err) == (0, "")
    titles = [row["title"] for row in threads("list", "--json").rows]
    if "Secret" in titles:
        assert "A secret answer." in threads("show", "Secret").out
        assert "a secret draft" in titles
        return
    for recovered in EXPECTED["recovery"]:
        for thread in recovered["threads"]:
            assert threads("show", thread["id"], "--json").rows == [thread["state"]]
    assert "a draft that could not be saved" in titles


async def test_a_recovery_file_has_what_0_1_put_in_it(private_home: Path) -> None:
    install(FULL / "plain", private_home)
    found = [read_recovery_file(path, None) for path in find_recovery_files(paths.recovery_dirs())]
    assert [
        {
            "threads": [
                {"id": each.id, "title": each.title, "state": json.loads(encode_state(each.state))}
                for each in unsaved.threads
            ],
            "tabs": unsaved.tabs,
        }
        for unsaved in found
    ] == EXPECTED["recovery"]


def test_the_models_of_0_1_are_found(private_home: Path) -> None:
    install(FULL / "plain", private_home)
    assert model_path(Path("own-model")) == paths.models_dir() / "own-model.gguf"
    assert [each.name for each in partial_downloads(paths.models_dir())] == (
        EXPECTED["unfinished downloads"]
    )
    cache = verified_models()
    digest = "0123456789abcdef" * 4
    assert cache.find_by_hash(digest) is None  # 0.1 did not store all properties: it is tried again
    properties = ModelProperties("llama", 2048)
    cache.add([paths.models_dir() / "own-model.gguf"], digest, properties)
    assert cache.find_by_hash(digest) == properties


async def test_a_snapshot_of_0_1_is_ignored_and_removed(
    private_home: Path, tiny_path: Path
) -> None:
    """0.1 did not store which part of a state has the layers with a sliding window."""
    install(FULL / "plain", private_home)
    snapshots = Snapshots(paths.cache_dir() / "kv")
    path = snapshots.find(SNAPSHOT_THREAD)
    assert path is not None
    old = path.read_bytes()

    async def load(progress: Callable[[float], None]) -> Engine:
        return await Engine.load(ModelSpec(tiny_path, context_tokens=1024, slots=2, threads=1))

    settings = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=4)
    agent = LocalAgent(load, settings, snapshots)
    question, answer = EXPORTS[SNAPSHOT_THREAD]["state"]["messages"]
    asked: list[Any] = [
        UserMessage(id="0", role="user", content=question["content"]),
        AssistantMessage(id="1", role="assistant", content=answer["content"]),
        UserMessage(id="2", role="user", content="And then?"),
    ]
    run = RunAgentInput(thread_id=SNAPSHOT_THREAD, run_id="r", messages=asked)
    events = [event async for event in agent.run(run)]
    await agent.close()
    (value,) = (
        each.value for each in events if isinstance(each, CustomEvent) and each.name == METRICS
    )
    assert value["output_tokens"] == 4
    assert (value["reused_tokens"], value["snapshot_misses"]) == (0, 1)
    assert path.read_bytes() != old  # replaced when the agent closed
