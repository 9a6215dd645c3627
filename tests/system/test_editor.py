"""The prompt in an editor: the choice of the editor, its input, and the result of each exit."""

import asyncio
import os
import shlex
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from koel_tui.system.editor import EditorError, edit_in_editor, editor_command, wait_advice
from koel_tui.ui.app.app import KoelApp
from tests.ui.window import Window, opened

LONG = "\n".join(f"line {n}" for n in range(120))


def editor(code: str) -> list[str]:
    """Return the command of an editor that runs `code`, in which `path` is the file."""
    return [sys.executable, "-c", f"import sys, pathlib; path = pathlib.Path(sys.argv[1])\n{code}"]


def test_visual_goes_before_editor_and_may_have_arguments() -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_command({"VISUAL": " ", "EDITOR": "'my editor' -x"}) == ["my editor", "-x"]


def test_the_errors_of_a_missing_and_an_invalid_editor_name_the_next_step() -> None:
    with pytest.raises(EditorError, match="Set VISUAL or EDITOR"):
        editor_command({})
    with pytest.raises(EditorError, match="EDITOR cannot be parsed"):
        editor_command({"EDITOR": "'vi"})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Create the directory of the temporary file."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


@pytest.mark.parametrize(
    ("before", "after"),
    [("a", "ab"), ("", "b"), ("a\n", "a\nb\n"), ("é 漢 😀", "é 漢 😀b"), ("\ud83d", "?b")],
)
async def test_the_text_written_by_the_editor_is_returned(before: str, after: str) -> None:
    append = editor("path.write_bytes(path.read_bytes() + 'b\\n'.encode())")
    assert await edit_in_editor(before, append) == after


async def test_the_file_is_private_and_nothing_of_it_is_left(
    temporary: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    code = (
        "modes = f'{path.stat().st_mode} {path.parent.stat().st_mode}'\n"
        f"pathlib.Path({str(report)!r}).write_text(modes)\n"
        "path.with_name('prompt.md~').write_text('a copy')\n"
        "path.touch()"
    )
    await edit_in_editor("secret", editor(code))
    file, directory = map(int, report.read_text().split())
    assert (stat.S_IMODE(file), stat.S_IMODE(directory)) == (0o600, 0o700)
    assert not list(temporary.iterdir())


async def test_report_39_an_editor_that_does_not_wait_keeps_its_file(
    temporary: Path, tmp_path: Path
) -> None:
    """Text that is saved later is not lost, because the message names the file."""
    saved = tmp_path / "saved"
    later = (
        f"import time; time.sleep(0.3); open({{!r}}, 'w').write('late'); open({str(saved)!r}, 'w')"
    )
    code = (
        "import subprocess\n"
        f"subprocess.Popen([sys.executable, '-c', {later!r}.format(str(path))],"
        " stdin=-3, stdout=-3, stderr=-3)"
    )
    with pytest.raises(EditorError, match=r"(?s)ended at once .* it wait: .* --wait") as caught:
        await edit_in_editor("x", editor(code))
    (file,) = temporary.glob("koel-chat-*/prompt.md")
    assert str(caught.value).endswith(str(file))
    end = time.monotonic() + 10
    while not saved.exists():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    assert file.read_text() == "late"


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        ("code", "code --wait"),
        ("/usr/bin/zed -n", "/usr/bin/zed -n --wait"),
        ("subl", "subl --wait"),
        ("gvim", "gvim --nofork"),
        ("kate", "kate --block"),
        ("open -t", "open -t -W -n"),
        ("emacsclient -n -c", "emacsclient -c"),
        ("my-editor", "my-editor --wait"),
        ("env LANG=C code", "env LANG=C code --wait"),
        (
            "flatpak run --user org.gnome.TextEditor",
            "flatpak run --user org.gnome.TextEditor --standalone",
        ),
        ("flatpak run org.kde.kate", "flatpak run org.kde.kate --block"),
        ("snap run code -n", "snap run code -n --wait"),
        ("neovide", "neovide --no-fork"),
    ],
)
def test_report_39_the_option_of_the_editor_is_named(command: str, advice: str) -> None:
    assert wait_advice(command.split(), 0.1).endswith(f'VISUAL="{advice}".')
    assert wait_advice(advice.split(), 0.1) == ""
    assert wait_advice(command.split(), 60) == ""


@pytest.mark.parametrize(
    "command",
    [
        "vi", "/usr/bin/vim", "nano", "hx", "emacs", "emacsclient", "code -w", "gvim -f", "sudo vi",
        "env TERM=xterm nvim", "flatpak run io.neovim.nvim", "sudoedit", "nvim.appimage",
    ],
)  # fmt: skip
def test_report_39_an_editor_that_waits_may_end_at_once(command: str) -> None:
    assert wait_advice(command.split(), 0.1) == ""


def test_report_39_a_long_command_is_not_repeated() -> None:
    advice = wait_advice(["code", "--user-data-dir", "x" * 500], 0.1)
    assert "--wait" in advice and len(advice) < 200


@pytest.mark.parametrize("command", ["code", "zed -n", "/opt/idea", "env A=b subl"])
def test_report_39_an_editor_that_is_known_to_open_a_window_may_take_long_to_start(
    command: str,
) -> None:
    assert "--wait" in wait_advice(command.split(), 20)
    assert wait_advice(["my-editor"], 20) == ""


@pytest.mark.parametrize("command", ["xdg-open", "/usr/bin/gio open", "wslview"])
def test_report_39_a_program_that_cannot_wait_is_not_given_an_option(command: str) -> None:
    advice = wait_advice(command.split(), 1)
    assert "does not wait" in advice and "VISUAL" in advice and "--wait" not in advice


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfa\r\nb\r\n", "a\nb"),
        ("é".encode("utf-16"), "é"),
        (b"\xfe\xff\x00a\x00\n", "a"),
    ],
)
async def test_report_39_text_of_a_windows_editor_comes_back(data: bytes, text: str) -> None:
    assert await edit_in_editor("x", editor(f"path.write_bytes({data!r})")) == text


@pytest.mark.parametrize(
    "code",
    [
        "path.write_bytes(b'caf\\xe9')",
        "path.write_bytes(b'\\xff\\xfea')",
        "path.unlink(); path.mkdir()",
    ],
)
async def test_report_39_text_in_another_encoding_is_kept_and_not_changed(
    temporary: Path, code: str
) -> None:
    with pytest.raises(EditorError, match=r"(?s)UTF-8.*What you saved is in ") as caught:
        await edit_in_editor("x", editor(code))
    (kept,) = temporary.glob("koel-chat-*/prompt.md")
    assert str(caught.value).endswith(str(kept))


async def test_report_39_a_file_that_is_replaced_or_removed_causes_no_error(
    temporary: Path,
) -> None:
    replaced = "new = path.with_name('new'); new.write_text('new text'); new.replace(path)"
    assert await edit_in_editor("x", editor(replaced)) == "new text"
    assert await edit_in_editor("x", editor("path.unlink()")) == "x"
    assert not list(temporary.iterdir())


async def test_an_editor_that_a_signal_ends_is_described_so() -> None:
    with pytest.raises(EditorError, match="was ended by signal 9"):
        await edit_in_editor("x", editor("import os; os.kill(os.getpid(), 9)"))


def test_an_editor_may_have_spaces_in_its_path_or_be_in_the_home_directory(tmp_path: Path) -> None:
    program = tmp_path / "my editor"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert editor_command({"VISUAL": str(program)}) == [str(program)]
    assert editor_command({"EDITOR": "~/bin/ed -x"}) == [str(Path.home() / "bin/ed"), "-x"]


async def test_the_text_saved_before_an_editor_failed_is_kept(temporary: Path) -> None:
    with pytest.raises(EditorError, match=r"ended with 3.*What you saved is in .*prompt\.md"):
        await edit_in_editor("x", editor("path.write_text('changed'); sys.exit(3)"))
    (kept,) = temporary.rglob("*.md")
    assert kept.read_text() == "changed"


async def test_an_editor_that_fails_is_an_error_and_nothing_is_left(temporary: Path) -> None:
    with pytest.raises(EditorError, match="ended with 3"):
        await edit_in_editor("x", editor("sys.exit(3)"))
    with pytest.raises(EditorError, match="cannot be started"):
        await edit_in_editor("x", ["no-such-editor-anywhere"])
    assert not list(temporary.iterdir())


@contextmanager
def not_on_a_terminal(self: KoelApp) -> Iterator[None]:
    """Replace the suspension of the terminal, because the window under test has no terminal."""
    yield


def use(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setattr(KoelApp, "suspend", not_on_a_terminal)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", shlex.join(editor(code)))


async def test_ctrl_g_edits_the_prompt_with_all_that_was_pasted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, "path.write_text('Explain:\\n' + path.read_text() + '\\nbriefly')")
    async with opened() as window:
        await window.type(LONG)
        await window.press("ctrl+g")
        await window.prompts("Explain:\n[pasted 120 lines #1]\nbriefly")
        await window.press("ctrl+z")
        await window.prompts("[pasted 120 lines #1]")


async def test_control_bytes_of_an_editor_do_not_reach_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, "path.write_bytes(b'a\\x1b[31m\\r\\nb')")
    async with opened() as window:
        await window.press("ctrl+g")
        await window.prompts("a␛[31m\nb")


async def reports(window: Window, words: str) -> None:
    await window.type("as it was")
    await window.press("ctrl+g")
    await window.sees(words)
    assert window.prompt.text == "as it was"


async def test_an_editor_that_fails_leaves_the_prompt_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, "path.write_text('lost'); sys.exit(1)")
    async with opened(size=(100, 24)) as window:
        await reports(window, "ended with 1")


async def test_report_39_the_path_of_the_text_is_shown_until_the_user_is_back(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    use(monkeypatch, "pass")
    async with opened(size=(100, 24)) as window:
        await reports(window, "ended at once")
        (notice,) = window.app._notifications
        (path,) = temporary.glob("koel-chat-*/prompt.md")
        assert notice.timeout >= 60 and notice.message.endswith(str(path))
        assert str(path) in window.app._editor.left_text  # printed at the end of the program


async def test_no_editor_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "")
    monkeypatch.delenv("EDITOR")
    async with opened() as window:
        await reports(window, "No editor is set")


async def test_an_editor_without_a_terminal_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    async with opened() as window:
        await reports(window, "suspend")


async def test_text_restored_while_the_editor_is_open_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    go, ready = tmp_path / "go", tmp_path / "ready"
    os.mkfifo(go)
    use(
        monkeypatch,
        f"pathlib.Path({str(ready)!r}).touch()\n"
        f"pathlib.Path({str(go)!r}).read_text()\n"
        "path.write_text('edited')",
    )
    async with opened() as window:
        turn = await window.ask("One")
        await window.type("Two")
        await window.press("enter")
        await window.sees("queued: Two")
        await window.press("ctrl+g")
        await window.until(ready.exists)
        turn.fail("broken")
        await window.prompts("Two")
        go.write_text("")
        await window.prompts("Two\n\nedited")
