"""The commands `koel-chat models ...`."""

import io
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.main import run
from koel_tui.models.downloaded import partial_path
from tests.cli.commands import PROGRAM, Said
from tests.cli.test_imports import imported
from tests.models.gguf_file import gguf_bytes, write_gguf
from tests.models.hub_server import HubServer

REPO = "owner/model-GGUF"
BIG = gguf_bytes(2_000_000)
EVIL = "\x1b]0;evil\x07\u202e"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("HF_", "LLAMA_", "OLLAMA_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer({"m-Q4_K_M.gguf": BIG, "m-Q8_0.gguf": gguf_bytes(seed=8)}) as server:
        yield server


class Models:
    """Runs `koel-chat models ...` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Said:
        self._capsys.readouterr()
        code = run(["models", *words])
        said = self._capsys.readouterr()
        assert "\x1b" not in said.out + said.err and "\u202e" not in said.out + said.err
        return Said(code, said.out, said.err)


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str]) -> Models:
    return Models(capsys)


def own(name: str) -> Path:
    return write_gguf(paths.models_dir() / "owner" / "repo" / f"{name}.gguf", 1_500_000)


def pulling(server: HubServer, *words: str) -> subprocess.Popen[str]:
    """Run `models pull` in a new process, because huggingface_hub reads HF_ENDPOINT at import."""
    return subprocess.Popen(
        [PROGRAM, "models", "pull", *words],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "HF_ENDPOINT": server.url},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


# List


def test_list_shows_every_model_and_its_source(
    models: Models, starter_path: Path, private_home: Path
) -> None:
    path = own("ours")
    write_gguf(private_home / "models" / f"odd{EVIL}.gguf")
    partial_path(path.with_name("begun.gguf"), "a" * 64).write_bytes(bytes(3_000_000))
    said = models("list")
    assert said.code == 0
    starter, ours, odd = said.out.splitlines()
    assert starter.split() == ["98", "MB", "starter", starter_path.stem]
    assert ours.split() == ["1.5", "MB", "koel-chat", "ours"]
    assert "~/models" in odd and "odd" in odd
    assert said.err.split() == ["3.0", "MB", "unfinished", "begun"]
    rows = models("list", "--json").rows
    assert rows[1] == {
        "name": "ours",
        "path": str(path),
        "size": path.stat().st_size,
        "source": "koel-chat",
        "works": False,
        "aliases": [],
        "note": "",
    }


def test_list_takes_folders_from_the_settings(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "disk" / "far.gguf")
    monkeypatch.setenv("KOEL_MODEL_FOLDERS", str(tmp_path / "disk"))
    assert "folder        far" in models("list").out


# Probe


def test_probe_prints_its_result_and_remembers_it(models: Models, starter_path: Path) -> None:
    said = models("probe", "smollm2")
    assert said.code == 0, said.err
    assert "works: llama, trained on 8,192 tokens; tested in" in said.out
    assert "worked before" in models("probe", str(starter_path)).out
    assert models("list").out.rstrip().endswith("(works)")
    (row,) = models("probe", str(starter_path), "--json").rows
    assert (row["ok"], row["remembered"], row["path"]) == (True, True, str(starter_path))


def test_probe_of_a_bad_file_is_66(models: Models, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / f"bad{EVIL}.gguf")
    said = models("probe", str(path))
    assert said.code == 66
    assert "Cannot use" in said.err and "architecture" in said.err
    broken = models("probe", str(path), "--json")
    assert (broken.code, broken.rows[0]["ok"]) == (66, False)
    assert models("probe", "nowhere").code == 66


def test_every_command_accepts_the_beginning_of_a_model_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    bad = own("not-a-model")
    bad.write_bytes(b"not at all")
    for words in (["ask", "hi"], ["bench"], []):
        assert run([*words, "--model", "not-a"]) == 66, words


# Pull


def test_pull_prints_the_path_and_nothing_else_in_a_pipe(server: HubServer) -> None:
    child = pulling(server, REPO)
    out, err = child.communicate(timeout=60)
    path = paths.models_dir() / "owner" / "model-GGUF" / "m-Q4_K_M.gguf"
    assert (child.returncode, out, err) == (0, f"{path}\n", "")
    assert path.read_bytes() == BIG
    assert paths.models_dir().stat().st_mode & 0o077 == 0


def test_pull_shows_its_progress_on_a_terminal(server: HubServer) -> None:
    ours, theirs = pty.openpty()
    with pulling_on(theirs, server) as child:
        os.close(theirs)
        shown = drained(ours)
        assert child.wait(60) == 0
    assert "100%  2.0 MB of 2.0 MB" in shown
    assert shown.endswith("\r\x1b[KRun it: koel-chat --model m-Q4_K_M\r\n")
    assert shown.count("\n") == 1


def pulling_on(terminal: int, server: HubServer) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [PROGRAM, "models", "pull", REPO],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
        env={**os.environ, "HF_ENDPOINT": server.url},
    )  # fmt: skip


def drained(terminal: int) -> str:
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 4096)
        except OSError:  # the client has disconnected
            os.close(terminal)
            return shown.decode()


def test_ctrl_c_keeps_the_downloaded_part_and_exits_with_130(server: HubServer) -> None:
    server.gate = threading.Event()
    child = pulling(server, REPO)
    part = partial_path(
        paths.models_dir() / "owner" / "model-GGUF" / "m-Q4_K_M.gguf",
        server.info()["siblings"][0]["lfs"]["sha256"],
    )
    deadline = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 500_000):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)
    assert child.returncode == 130, err
    assert "continues the download" in err and "Traceback" not in err
    kept = part.stat().st_size
    server.gate.set()
    again = pulling(server, REPO)
    assert again.wait(60) == 0
    assert server.begins == [0, kept]


def test_pull_reports_a_missing_repository_and_a_wrong_checksum(server: HubServer) -> None:
    missing = pulling(server, "owner/nothing")
    _, err = missing.communicate(timeout=60)
    assert missing.returncode == 66
    assert "owner/nothing was not found on Hugging Face" in err
    server.digests["m-Q8_0.gguf"] = "0" * 64
    wrong = pulling(server, REPO, "Q8")
    _, err = wrong.communicate(timeout=60)
    assert wrong.returncode == 69 and "The SHA-256 of " in err
    assert not list(paths.models_dir().rglob("*.gguf*"))


# Remove


def test_remove_takes_a_download_and_its_empty_folders(models: Models) -> None:
    path, other = own("ours"), own("other")
    said = models("remove", "ours", "--yes")
    assert (said.code, path.exists(), other.exists()) == (0, False, True), said.err
    assert models("remove", "other", "--yes").code == 0
    assert list(paths.models_dir().iterdir()) == []
    assert models("remove", "other", "--yes").code == 2


def test_remove_deletes_all_parts_and_unfinished_downloads(models: Models) -> None:
    parts = [own(f"big-0000{number}-of-00002") for number in (1, 2)]
    begun = partial_path(parts[0].with_name("begun.gguf"), "a" * 64)
    begun.write_bytes(b"half")
    assert models("remove", "big", "--yes").code == 0
    assert not any(part.exists() for part in parts) and begun.exists()
    assert models("remove", "begun", "--yes").code == 0
    assert list(paths.models_dir().iterdir()) == []


def test_remove_asks_first(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own("ours")
    nobody = models("remove", "ours")
    assert (nobody.code, "--yes" in nobody.err) == (2, True)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for answer, stays in (("n\n", True), ("y\n", False)):
        monkeypatch.setattr("click.termui.visible_prompt_func", lambda _text, a=answer: a.strip())
        assert models("remove", "ours").code == 0
        assert path.exists() is stays


def test_remove_leaves_the_models_of_others(
    models: Models, private_home: Path, starter_path: Path
) -> None:
    path = write_gguf(private_home / ".lmstudio" / "models" / "who" / "m.gguf")
    said = models("remove", "m", "--yes")
    assert said.code == 2 and "LM Studio" in said.err and path.exists()
    assert models("remove", starter_path.stem, "--yes").code == 2 and starter_path.exists()
    # A link to a file elsewhere: the file was not pulled by this program.
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / "linked").symlink_to(path.parent)
    assert models("remove", "m", "--yes").code == 2 and path.exists()


def test_nothing_heavy_is_imported_for_a_list() -> None:
    modules = imported("import koel_tui.models, koel_tui.models.download, koel_tui.models.probe")
    assert not modules & {"huggingface_hub", "httpx", "httpx2", "pydantic", "llama_cpp"}
