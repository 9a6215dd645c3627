"""Encrypted threads on the command line: locks, passphrase prompts, no unencrypted files."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from koel_tui import paths
from koel_tui.cli.early_settings import is_encrypted
from koel_tui.cli.wiring import open_snapshots
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.encryption.key_file import read_key_file, write_key_file
from tests.cli.commands import PROGRAM, Threads, koel, save


def store() -> JsonFileStorage:
    return JsonFileStorage(paths.threads_dir())


# Locks


async def test_a_thread_that_is_open_elsewhere_is_75() -> None:
    await store().save("sea", ChatState(messages=(Message("1", "user", "hi"),)))
    other = store()
    await other.open("sea")
    environment = {**os.environ}
    for words in (("rename", "sea", "x"), ("delete", "sea"), ("encrypt",)):
        done = await asyncio.to_thread(koel, "threads", *words, environment=_keyed(environment))
        assert done.returncode == 75, done.stderr
        assert str(os.getpid()) in done.stderr
    await other.close("sea")


def _keyed(environment: dict[str, str]) -> dict[str, str]:
    path = paths.data_dir() / "passphrase"
    path.write_text("correct horse")
    return {**environment, "KOEL_PASSPHRASE_FILE": str(path)}


# Encryption


def files_with(words: bytes) -> list[Path]:
    home = Path(os.environ["HOME"])
    return [path for path in home.rglob("*") if path.is_file() and words in path.read_bytes()]


def test_encrypted_threads_are_used_like_others(threads: Threads, secret: Path) -> None:
    save("sea", "Where is minerva?", "Down the hill.")
    assert threads("search", "minerva").code == 0
    open_snapshots().path("sea").parent.mkdir(parents=True)
    open_snapshots().path("sea").write_bytes(b"the context of minerva")
    for name in ("history.jsonl", "tabs-1.json"):
        (paths.private_directory(paths.state_dir()) / name).write_text("minerva")
    assert len(files_with(b"minerva")) > 3
    done = threads("encrypt")
    assert done.code == 0, done.err
    assert "encrypted (1 files)" in done.out
    assert files_with(b"minerva") == []
    assert is_encrypted()
    assert threads("encrypt").code == 0
    assert "Where is minerva?" in threads("show", "sea").out
    assert threads("search", "minerva").code == 0
    assert threads("rename", "sea", "minerva").code == 0
    assert threads("list", "--json").rows[0]["title"] == "minerva"
    assert threads("delete", "sea").code == 0 and threads("restore", "sea").code == 0
    assert files_with(b"minerva") == []
    assert threads("decrypt").code == 0
    assert not is_encrypted()
    secret.unlink()
    assert "Where is minerva?" in threads("show", "sea").out


def test_a_wrong_passphrase_exits_with_77(threads: Threads, secret: Path) -> None:
    save("sea", "Where is minerva?")
    assert threads("encrypt").code == 0
    secret.write_text("battery staple")
    for words in (
        ("list",), ("show", "sea"), ("search", "x"), ("rename", "sea", "x"), ("delete", "sea"),
        ("restore", "sea"), ("export", "sea"), ("import", str(secret)), ("decrypt",),
        ("passphrase",),
    ):  # fmt: skip
        said = threads(*words)
        assert said.code == 77, words
        assert "passphrase" in said.err and "Traceback" not in said.err
    secret.unlink()
    gone = threads("list")
    assert gone.code == 77 and str(secret) in gone.err


def test_the_error_of_a_missing_passphrase_names_the_variable(
    threads: Threads, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("sea", "Where is minerva?")
    assert threads("encrypt").code == 0
    monkeypatch.delenv("KOEL_PASSPHRASE_FILE")
    said = threads("list")
    assert said.code == 77 and "KOEL_PASSPHRASE_FILE" in said.err
    assert threads("decrypt").code == 77


def test_nothing_is_encrypted_without_a_passphrase(threads: Threads) -> None:
    save("sea", "Where is minerva?")
    said = threads("encrypt")
    assert said.code == 77 and "KOEL_PASSPHRASE_FILE" in said.err
    assert "Where is minerva?" in threads("show", "sea").out


def test_the_passphrase_is_changed(threads: Threads, secret: Path, tmp_path: Path) -> None:
    save("sea", "Where is minerva?")
    assert threads("passphrase").code == 2
    assert threads("decrypt").code == 2
    assert threads("encrypt").code == 0
    files = {path: path.read_bytes() for path in paths.threads_dir().glob("t-*")}
    new = tmp_path / "new"
    new.write_text("battery staple")
    assert threads("passphrase", "--new-file", str(new), "--keyring").code == 2
    changed = threads("passphrase", "--new-file", str(new))
    assert changed.code == 0, changed.err
    assert threads("list").code == 77
    secret.write_text("battery staple\n")
    assert "Where is minerva?" in threads("show", "sea").out
    assert {path: path.read_bytes() for path in files} == files


def test_an_interrupted_encryption_resumes_when_started_again(
    threads: Threads, secret: Path
) -> None:
    save("sea", "Where is minerva?")
    assert threads("encrypt").code == 0
    key = read_key_file(paths.threads_dir())
    assert key is not None
    write_key_file(paths.threads_dir(), replace(key, stage="sealing"))
    half = threads("list")
    assert half.code == 75 and "start it again" in half.err
    assert threads("encrypt").code == 0
    assert "Where is minerva?" in threads("show", "sea").out


# On a terminal


def spawn(*words: str) -> "pexpect.spawn[str]":
    environment = {name: value for name, value in os.environ.items() if "PASSPHRASE" not in name}
    return pexpect.spawn(
        PROGRAM, list(words), encoding="utf-8", timeout=20, env={**environment, "TERM": "xterm"}
    )


def test_the_passphrase_is_asked_for_without_being_shown() -> None:
    save("sea", "Where is minerva?")
    child = spawn("threads", "encrypt")
    child.expect("New passphrase")
    child.sendline("correct horse")
    child.expect("(?i)repeat")
    child.sendline("correct horse")
    child.expect("encrypted \\(1 files\\)")
    child.expect(pexpect.EOF)
    assert "correct horse" not in (child.before or "")
    assert child.wait() == 0
    child = spawn("threads", "list")
    child.expect("Passphrase of your threads")
    child.sendline("wrong")
    child.expect("not the one")
    child.expect("Passphrase of your threads")
    child.sendline("correct horse")
    child.expect("Where is minerva")
    child.expect(pexpect.EOF)
    assert child.wait() == 0


def test_three_wrong_passphrases_exit_with_77() -> None:
    save("sea", "Where is minerva?")
    done = koel("threads", "encrypt", environment=_keyed({}))
    assert done.returncode == 0, done.stderr
    child = spawn("threads", "list")
    for _ in range(3):
        child.expect("Passphrase of your threads")
        child.sendline("wrong")
    child.expect(pexpect.EOF)
    assert child.wait() == 77


def test_the_window_asks_for_the_passphrase_before_it_opens() -> None:
    save("sea", "Where is minerva?")
    assert koel("threads", "encrypt", environment=_keyed({})).returncode == 0
    child = spawn("sea")
    child.setwinsize(30, 100)
    child.expect("Passphrase of your threads")
    assert "\x1b[?1049h" not in (child.before or "")
    child.sendline("correct horse")
    child.expect_exact("\x1b[?1049h")
    child.expect("Where is minerva")
    child.sendcontrol("q")
    child.expect(pexpect.EOF)
    assert child.wait() == 0
