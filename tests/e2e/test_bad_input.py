"""Bad input in a real terminal: a short message, the exit code, and no lost data."""

import struct
import subprocess
from pathlib import Path

import pytest

from koel_tui import paths
from tests.e2e.terminal import PROGRAM, Terminal
from tests.engine.tiny_models import write_sliding_model
from tests.hostile_summary import Tally


def bad_models(folder: Path, starter: Path) -> dict[str, Path]:
    empty, other, part = (folder / f"{name}.gguf" for name in ("empty", "other", "part"))
    empty.touch()
    other.write_text("this is a poem, not a model")
    with starter.open("rb") as whole:
        part.write_bytes(whole.read(1_000_000))
    return {
        "no such file": folder / "missing.gguf",
        "the file is empty": empty,
        "not a GGUF file": other,
        "cut off": part,
    }


@pytest.mark.parametrize("reason", ["no such file", "the file is empty", "not a GGUF", "cut off"])
def test_a_bad_model_is_one_sentence_and_exit_66(
    tmp_path: Path, starter_path: Path, reason: str
) -> None:
    models = bad_models(tmp_path, starter_path)
    path = next(path for known, path in models.items() if reason in known)
    with Terminal("--model", str(path), columns=200) as terminal:
        assert terminal.wait() == 66
        assert terminal.restored()
        assert b"\x1b[?1049h" not in terminal.bytes, "the window was opened"
        message = terminal.text.strip()
    assert str(path) in message and reason in message
    assert message.count("\n") == 0 and "Traceback" not in message


def test_a_failed_model_load_is_reported_in_the_window_and_after_it(
    tmp_path: Path, starter_path: Path
) -> None:
    """The header of the file is valid, so only llama.cpp detects the damage."""
    path = tmp_path / "strange.gguf"
    known = b"general.architecture" + struct.pack("<IQ", 8, 5)
    path.write_bytes(starter_path.read_bytes().replace(known + b"llama", known + b"lxama", 1))
    with Terminal("--model", str(path), columns=200) as terminal:
        terminal.until(lambda screen: "No model" in screen and "lxama" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 66
        assert terminal.restored()
        assert "lxama" in terminal.text


def test_ask_with_a_bad_model_ends_the_same_way(tmp_path: Path, starter_path: Path) -> None:
    for reason, path in bad_models(tmp_path, starter_path).items():
        done = subprocess.run(
            [PROGRAM, "ask", "hi", "--model", str(path)],
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (66, "")
        assert str(path) in done.stderr and reason in done.stderr


def test_an_invalid_chat_template_is_reported_and_another_can_be_chosen(
    tmp_path: Path, tally: Tally
) -> None:
    path = write_sliding_model(tmp_path / "broken.gguf", "{% if %}")
    ask = [PROGRAM, "ask", "hi", "--model", str(path), "--max-output-tokens", "4"]
    for more in ([], ["--chat-template", "chatml"]):
        done = subprocess.run(
            [*ask, *more], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if more:
            assert done.returncode == 0 and done.stdout.strip()
            assert "template" not in done.stderr
        else:
            assert (done.returncode, done.stdout.strip()) == (66, "")
            assert "template of broken cannot be read" in done.stderr
            assert "--chat-template chatml" in done.stderr and "Traceback" not in done.stderr
    tally("hostile chat template", tried=2)


def test_the_error_of_a_missing_terminal_suggests_ask() -> None:
    done = subprocess.run([PROGRAM], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "koel-chat ask" in done.stderr


def test_a_damaged_thread_is_named_and_kept_and_does_not_block_a_chat() -> None:
    folder = paths.threads_dir()
    folder.mkdir(parents=True)
    damaged = folder / f"t-{'0' * 32}.json"
    damaged.write_bytes(b'{"format":"koel-chat/thread","schema":1,"id":"x","sta')
    with Terminal(columns=120) as terminal:
        terminal.until(lambda screen: damaged.name[:20] in screen)
        terminal.ask("Say hello.")
        terminal.until(lambda screen: "· saved" in screen and "⌛" not in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    copies = list((folder / "quarantine").iterdir())
    assert [copy.read_bytes() for copy in copies] == [damaged.read_bytes()]
