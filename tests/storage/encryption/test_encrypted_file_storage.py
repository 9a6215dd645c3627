"""Encrypted threads: their key, and the data that is readable without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from koel_tui.storage import (
    AnyKey,
    Cost,
    DamagedKeyFileError,
    EncryptedFileStorage,
    EncryptedThreadsError,
    JsonFileStorage,
    NoKeyError,
    Passphrase,
    SystemKeyring,
    WrongPassphraseError,
    change_key,
)
from koel_tui.storage.encryption.encrypted_codec import FileEncryptor
from koel_tui.storage.encryption.key_file import read_key_file, write_key_file
from koel_tui.storage.encryption.keys import read_passphrase
from koel_tui.storage.errors import NotAThreadError
from tests.hostile_summary import Tally
from tests.storage.helpers import CHEAP, encrypted, passphrase, saying


class MemoryKeyring:
    """An in-memory replacement of the system keyring."""

    def __init__(self) -> None:
        self.secrets: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.secrets.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.secrets[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.secrets[service, username]


def everything(folder: Path) -> bytes:
    """Return all names and contents below a directory."""
    found = sorted(folder.rglob("*"))
    names = "\n".join(str(path.relative_to(folder)) for path in found)
    return names.encode() + b"".join(path.read_bytes() for path in found if path.is_file())


async def test_nothing_is_stored_unencrypted(folder: Path) -> None:
    storage = encrypted(folder)
    await storage.save("secret-id", saying("secret words"))
    await storage.update_meta("secret-id", title="secret title", model="secret model")
    other = encrypted(folder)
    await other.save("secret-id", saying("secret conflict"))  # goes to a conflict file
    await storage.trash("secret-id")
    await storage.save("secret-id", saying("secret again"))
    path = min(folder.glob("t-*.sealed"), key=lambda path: len(path.name))
    path.write_bytes(path.read_bytes()[:-9])
    assert await storage.load("secret-id") is None  # goes to quarantine
    left = everything(folder)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {
        "locks", "quarantine", "trash",
    }  # fmt: skip
    assert b"secret" not in left
    hashed = JsonFileStorage(folder / "clear")
    await hashed.save("secret-id", saying())
    (clear,) = (folder / "clear").glob("t-*.json")
    assert clear.stem.encode() not in left, "the name gives the id away to whoever guesses it"


async def test_storage_case_11_a_wrong_passphrase_and_a_flipped_bit_are_different_errors(
    folder: Path, tally: Tally
) -> None:
    tally("passphrase", tried=5)
    await encrypted(folder).save("t", saying("hi"))
    wrong = encrypted(folder, "incorrect horse")
    for use in (wrong.load("t"), wrong.save("t", saying("x")), wrong.summaries(), wrong.open("t")):
        with pytest.raises(WrongPassphraseError):
            await use
    assert wrong.damaged == ()
    (path,) = folder.glob("t-*.sealed")
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    storage = encrypted(folder)
    assert await storage.load("t") is None
    (report,) = storage.damaged
    assert report.copy is not None and report.copy.read_bytes() == data


async def test_storage_case_11_every_flipped_bit_of_the_key_file_is_damage(
    folder: Path, tally: Tally
) -> None:
    await encrypted(folder).save("t", saying("hi"))
    path = folder / "keys.json"
    good = path.read_bytes()
    for place in range(len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 7
        path.write_bytes(flipped)
        with pytest.raises(DamagedKeyFileError):
            read_key_file(folder)
    tally("passphrase", tried=len(good))
    path.write_bytes(good)
    assert await encrypted(folder).load("t") == saying("hi")


async def test_a_file_put_in_the_place_of_another_is_noticed(folder: Path) -> None:
    storage = encrypted(folder)
    await storage.save("a", saying("for a"))
    (a,) = folder.glob("t-*.sealed")
    await storage.save("b", saying("for b"))
    (b,) = set(folder.glob("t-*.sealed")) - {a}
    b.write_bytes(a.read_bytes())
    assert await storage.load("b") is None
    assert await storage.load("a") == saying("for a")
    assert len(storage.damaged) == 1


def test_a_ciphertext_is_valid_for_one_thread_and_one_key_only() -> None:
    encryptor = FileEncryptor(b"k" * 32, "key")
    one, other = encryptor.stem("one"), encryptor.stem("other")
    ciphertext = encryptor.encode(one, b"words")
    assert encryptor.decode(one, ciphertext) == b"words"
    assert encryptor.encode(one, b"words") != ciphertext
    with pytest.raises(NotAThreadError, match="changed"):
        encryptor.decode(other, ciphertext)
    with pytest.raises(NotAThreadError, match="another key"):
        FileEncryptor(b"k" * 32, "other key").decode(one, ciphertext)
    with pytest.raises(NotAThreadError, match="changed"):
        FileEncryptor(b"l" * 32, "key").decode(one, ciphertext)


async def test_the_passphrase_is_asked_for_once_and_new_ones_are_reported(folder: Path) -> None:
    asked: list[bool] = []

    def ask(new: bool) -> str:
        asked.append(new)
        return "words"

    for expected in ([True], [True, False]):
        storage = EncryptedFileStorage(folder, key=Passphrase(ask, CHEAP))
        assert asked == expected[:-1]
        await storage.save(str(len(asked)), saying("hi"))
        await storage.summaries()
        assert asked == expected


async def test_a_wrong_passphrase_is_asked_for_again(folder: Path) -> None:
    await encrypted(folder, "right").save("t", saying("hi"))
    answers = iter(["wrong", "right"])
    storage = EncryptedFileStorage(folder, key=Passphrase(lambda new: next(answers), CHEAP))
    with pytest.raises(WrongPassphraseError):
        await storage.load("t")
    assert await storage.load("t") == saying("hi")


@pytest.mark.parametrize(
    ("one", "other"), [("caf\u00e9", "cafe\u0301"), ("x" * 1_000_000,) * 2, ("\ud83d",) * 2]
)
async def test_equivalent_passphrases_open_the_same_threads(
    folder: Path, one: str, other: str, tally: Tally
) -> None:
    tally("passphrase", tried=1)
    await encrypted(folder, one).save("t", saying("hi"))
    assert await encrypted(folder, other).load("t") == saying("hi")


async def test_an_empty_passphrase_is_refused(folder: Path, tally: Tally) -> None:
    tally("passphrase", tried=1)
    with pytest.raises(NoKeyError, match="empty"):
        await encrypted(folder, "").save("t", saying("hi"))
    assert list(folder.glob("*.*")) == []


@pytest.mark.timeout(20)
def test_a_passphrase_file_has_a_size_limit_and_can_be_a_pipe(tmp_path: Path, tally: Tally) -> None:
    endless, long = tmp_path / "endless", tmp_path / "long"
    endless.symlink_to("/dev/zero")
    long.write_text("x" * (1024 * 1024 + 1))
    for path in (endless, long):
        with pytest.raises(NoKeyError, match="more than 1,048,576 bytes"):
            read_passphrase(path)
    reader, writer = os.pipe()
    os.write(writer, b"many words\n")
    os.close(writer)
    assert read_passphrase(Path(f"/dev/fd/{reader}")) == "many words"
    os.close(reader)
    tally("passphrase", tried=3)


@pytest.mark.parametrize(
    "cost",
    [Cost(memory=2**40), Cost(memory=8), Cost(passes=1), Cost(passes=10**9), Cost(lanes=10**6)],
)
async def test_a_key_derivation_cost_out_of_bounds_is_refused(
    folder: Path, cost: Cost, tally: Tally
) -> None:
    tally("passphrase", tried=1)
    storage = EncryptedFileStorage(folder, key=Passphrase(lambda new: "words", cost))
    with pytest.raises(DamagedKeyFileError, match="not allowed"):
        await storage.save("t", saying("hi"))


@pytest.mark.parametrize("change", [{"memory": 2**40}, {"memory": 19456.5}, {"salt": "AA=="},
                                    {"salt": 3}, {"kdf": "md5"}, {"lanes": None}])  # fmt: skip
async def test_a_changed_field_in_the_key_file_is_refused(
    folder: Path, change: dict[str, object], tally: Tally
) -> None:
    tally("passphrase", tried=1)
    await encrypted(folder).save("t", saying("hi"))
    key = read_key_file(folder)
    assert key is not None
    key.source.update(change)
    write_key_file(folder, key)
    with pytest.raises((DamagedKeyFileError, WrongPassphraseError)):
        await encrypted(folder).load("t")


async def test_a_lost_key_file_is_not_replaced_by_a_new_one(folder: Path) -> None:
    await encrypted(folder).save("t", saying("hi"))
    keys = (folder / "keys.json").read_bytes()
    (folder / "keys.json").unlink()
    with pytest.raises(DamagedKeyFileError, match="missing"):
        await encrypted(folder).save("u", saying("hi"))
    (folder / "keys.json").write_bytes(keys)
    assert await encrypted(folder).load("t") == saying("hi")


async def test_changing_the_passphrase_writes_one_file(folder: Path) -> None:
    storage = encrypted(folder, "old")
    await storage.save("t", saying("hi"))
    (path,) = folder.glob("t-*.sealed")
    before = path.read_bytes()
    with pytest.raises(WrongPassphraseError):
        change_key(folder, passphrase("guess"), passphrase("new"))
    change_key(folder, passphrase("old"), passphrase("new"))
    assert path.read_bytes() == before
    with pytest.raises(WrongPassphraseError):
        await encrypted(folder, "old").load("t")
    assert await encrypted(folder, "new").load("t") == saying("hi")
    await storage.save("t", saying("hi", "still open here"))
    assert await encrypted(folder, "new").load("t") == saying("hi", "still open here")


async def test_a_key_in_the_keyring_encrypts_and_decrypts_threads(folder: Path) -> None:
    keyring = MemoryKeyring()
    await EncryptedFileStorage(folder, key=SystemKeyring(keyring)).save("t", saying("hi"))
    storage = EncryptedFileStorage(folder, key=SystemKeyring(keyring))
    assert await storage.load("t") == saying("hi")
    with pytest.raises(NoKeyError, match="not encrypted with a passphrase"):
        await encrypted(folder).load("t")
    change_key(folder, SystemKeyring(keyring), SystemKeyring(keyring))
    assert len(keyring.secrets) == 1
    assert await storage.load("t") == saying("hi")
    change_key(folder, SystemKeyring(keyring), passphrase())
    assert keyring.secrets == {}
    assert await encrypted(folder).load("t") == saying("hi")


async def test_a_keyring_without_the_key_says_so(folder: Path) -> None:
    await EncryptedFileStorage(folder, key=SystemKeyring(MemoryKeyring())).save("t", saying("hi"))
    with pytest.raises(NoKeyError, match="has no key"):
        await EncryptedFileStorage(folder, key=SystemKeyring(MemoryKeyring())).load("t")


async def test_headless_a_save_without_a_keyring_is_refused_and_writes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    storage = EncryptedFileStorage(folder, key=AnyKey(environment={}))
    with pytest.raises(NoKeyError, match="KOEL_PASSPHRASE_FILE"):
        await storage.save("t", saying("hi"))
    assert [path.name for path in folder.iterdir()] == ["locks"]


async def test_headless_a_file_gives_the_passphrase(folder: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text("correct horse\n")
    key = AnyKey(environment={"KOEL_PASSPHRASE_FILE": str(words)}, cost=CHEAP)
    await EncryptedFileStorage(folder, key=key).save("t", saying("hi"))
    assert await encrypted(folder, "correct horse").load("t") == saying("hi")
    missing = AnyKey(environment={"KOEL_PASSPHRASE_FILE": str(tmp_path / "none")})
    with pytest.raises(NoKeyError, match="none"):
        await EncryptedFileStorage(folder, key=missing).load("t")
    with pytest.raises(NoKeyError, match="cannot be entered here"):
        await EncryptedFileStorage(folder, key=AnyKey(environment={})).load("t")


async def test_any_key_detects_the_kind_of_key_of_the_threads(folder: Path) -> None:
    keyring = MemoryKeyring()
    key = AnyKey(lambda new: "words", keyring=keyring, environment={}, cost=CHEAP)
    await EncryptedFileStorage(folder, key=key).save("t", saying("hi"))
    assert len(keyring.secrets) == 1
    change_key(folder, key, passphrase("words"))
    assert keyring.secrets == {}
    assert await EncryptedFileStorage(folder, key=key).load("t") == saying("hi")


async def test_an_unencrypted_store_does_not_change_encrypted_threads(folder: Path) -> None:
    await encrypted(folder).save("t", saying("hi"))
    before = everything(folder)
    clear = JsonFileStorage(folder)
    for use in (clear.load("t"), clear.save("t", saying("x")), clear.summaries()):
        with pytest.raises(EncryptedThreadsError, match="encrypted"):
            await use
    assert everything(folder) == before


async def test_an_encrypted_store_refuses_a_directory_of_unencrypted_threads(folder: Path) -> None:
    await JsonFileStorage(folder).save("t", saying("hi"))
    with pytest.raises(EncryptedThreadsError, match="not encrypted"):
        await encrypted(folder).save("u", saying("x"))
    assert await JsonFileStorage(folder).load("t") == saying("hi")


@pytest.mark.parametrize("package", ["cryptography", "keyring"])
def test_the_error_of_a_missing_package_names_the_package_to_install(
    tmp_path: Path, package: str
) -> None:
    key = "SystemKeyring()" if package == "keyring" else 'Passphrase(lambda new: "words")'
    code = (
        f"import asyncio, sys; sys.modules[{package!r}] = None\n"
        "from koel_tui.storage import *\nfrom koel_tui.protocol import ChatState\n"
        f"storage = EncryptedFileStorage({str(tmp_path / 'threads')!r}, key={key})\n"
        "try: asyncio.run(storage.save('t', ChatState()))\n"
        "except NoKeyError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert package in done.stdout and 'pip install "koel-tui[encrypt]"' in done.stdout


def test_unencrypted_threads_import_no_encryption_package() -> None:
    code = "import koel_tui.storage, sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"cryptography", "keyring", "filelock"} & set(json.loads(done.stdout))
