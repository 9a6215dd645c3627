"""Every option of every command, with a value that is not its default.

The command line of a case runs without and with its option; the effects must differ. A test fails
for an option without a case.
"""

import asyncio
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from koel_tui import paths
from koel_tui.cli import bench, chat, unlock
from koel_tui.cli.debugging import DEBUG_OPTION
from koel_tui.cli.main import run
from koel_tui.engine import EngineHost, ModelLoadError
from koel_tui.engine.bench import QUICK, Plan, Report
from koel_tui.protocol.turn_settings import OUTPUT_TOKENS, RANGES
from koel_tui.storage import JsonFileStorage, SystemKeyring
from koel_tui.storage.files.file_names import KEY_FILE
from tests.cli.commands import Said, every_command, save
from tests.cli.test_bench import REPORT
from tests.models.gguf_file import write_gguf
from tests.storage.encryption.test_encrypted_file_storage import MemoryKeyring

STORY = ("ask", "Tell me a story.", "--json", "--max-output-tokens=12")
HOT = {"KOEL_TEMPERATURE": "5", "KOEL_SEED": "1"}
WARM = {"KOEL_TEMPERATURE": "0"}


@dataclass
class World:
    """The directories that a command runs in, and the recorded effects other than its output."""

    home: Path
    tmp: Path
    starter: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    noted: dict[str, Any] = field(default_factory=dict)
    piped: str = ""

    def run(self, words: Sequence[str]) -> Said:
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(self.piped))
        self.capsys.readouterr()
        code = run([word.format(tmp=self.tmp, starter=self.starter) for word in words])
        said = self.capsys.readouterr()
        return Said(code, said.out, said.err)


Seen = Callable[[World, Said], Any]


@dataclass(frozen=True)
class Case:
    """A command line, one of its options, and a function that returns the option's effect."""

    command: tuple[str, ...]
    option: tuple[str, ...]
    rest: tuple[str, ...]
    seen: Seen
    wanted: Any = None
    """The value that `seen` returns with the option, if it is known."""
    setup: Callable[[World], None] = lambda _: None
    environment: Mapping[str, str] = field(default_factory=dict)


def asked(key: str) -> Seen:
    """Return a function that reads a value from the object of `ask --json`."""
    return lambda _, said: json.loads(said.out)[key]


def used(key: str) -> Seen:
    return lambda _, said: json.loads(said.out)["usage"][key]


def noted(key: str) -> Seen:
    """Return a function that reads a recorded effect of the options; see `World.noted`."""
    return lambda world, _: world.noted.get(key)


def code(_: World, said: Said) -> int:
    return said.code


def is_json(_: World, said: Said) -> bool:
    try:
        return bool([json.loads(line) for line in said.out.splitlines()])
    except ValueError:
        return False


def lines(_: World, said: Said) -> int:
    return len(said.out.splitlines())


def saved(_: World) -> None:
    save("sea", "Where is the harbour?", "Down the harbour hill.")
    save("hill", "Where is the hill?", "Above the harbour.")


def trashed(world: World) -> None:
    saved(world)
    asyncio.run(JsonFileStorage(paths.threads_dir()).trash("hill"))


def exported(world: World) -> None:
    saved(world)
    (world.tmp / "sea.md").unlink(missing_ok=True)
    assert world.run(["threads", "export", "sea", "--output", "{tmp}/sea.md"]).code == 0
    (world.tmp / "sea.md").write_text("mine")


def exported_json(world: World) -> None:
    saved(world)
    (world.tmp / "sea.json").unlink(missing_ok=True)
    words = ["threads", "export", "sea", "--format", "json", "--output", "{tmp}/sea.json"]
    assert world.run(words).code == 0


def passphrase(world: World) -> None:
    (world.tmp / "passphrase").write_text("correct horse\n")
    (world.tmp / "new").write_text("other horse\n")
    world.monkeypatch.setenv("KOEL_PASSPHRASE_FILE", str(world.tmp / "passphrase"))
    saved(world)


def encrypted(world: World) -> None:
    passphrase(world)
    assert world.run(["threads", "encrypt"]).code == 0


def key_kind(_: World, said: Said) -> bool:
    return '"keyring"' in (paths.threads_dir() / KEY_FILE).read_text()


def probed(world: World) -> None:
    assert world.run(["models", "probe", "{starter}"]).code == 0


def pulled(_: World) -> None:
    write_gguf(paths.models_dir() / "owner" / "repo" / "ours.gguf", 1000)


def piped(world: World) -> None:
    world.piped = "More text of the question."


def linked(world: World) -> None:
    link = world.tmp / "Other.gguf"
    link.unlink(missing_ok=True)
    link.symlink_to(world.starter)


ASK = (
    Case(("ask",), ("--model", "{tmp}/Other.gguf"), STORY[1:], asked("model"), "Other", linked),
    Case(("ask",), ("--system", "You are a pirate."), STORY[1:], used("prompt_tokens")),
    Case(("ask",), ("--temperature", "0"), STORY[1:], asked("text"), environment=HOT),
    Case(("ask",), ("--top-k", "1"), STORY[1:], asked("text"), environment=HOT),
    Case(("ask",), ("--top-p", "0.01"), STORY[1:], asked("text"), environment=HOT),
    Case(("ask",), ("--min-p", "1"), STORY[1:], asked("text"), environment=HOT),
    Case(("ask",), ("--repeat-penalty", "9"), STORY[1:], asked("text"), environment=WARM),
    Case(("ask",), ("--seed", "2"), STORY[1:], asked("text"), environment=HOT),
    Case(("ask",), ("--max-output-tokens", "4"), STORY[1:], used("output_tokens"), 4),
    Case(("ask",), ("--thread", "sea"), STORY[1:], asked("thread"), "sea", saved),
    Case(("ask",), ("--json",), ("Hi.", "--max-output-tokens=2"), is_json, True),
    Case(("ask",), ("--no-stdin",), STORY[1:], used("prompt_tokens"), setup=piped),
    Case(("ask",), ("--chat-template", "gemma"), STORY[1:], used("prompt_tokens")),
    Case(("ask",), ("--context-tokens", "256"), ("word " * 300, "--max-output-tokens=2"), code, 2),
    Case(("ask",), ("--gpu-layers", "0"), ("Hi.",), noted("gpu_layers"), 0),
    Case(("ask",), ("--threads", "3"), ("Hi.",), noted("threads"), 3),
)
CHAT = (
    Case(("chat",), ("--model", "{tmp}/Other.gguf"), (), noted("model"), "Other", linked),
    Case(("chat",), ("--max-sessions", "3"), (), noted("max_sessions"), 3),
    Case(("chat",), ("--parallel", "2"), (), noted("parallel"), 2),
    Case(("chat",), ("--chat-template", "gemma"), (), noted("chat_template"), "gemma"),
    Case(("chat",), ("--context-tokens", "512"), (), noted("context_tokens"), 512),
    Case(("chat",), ("--gpu-layers", "0"), (), noted("gpu_layers"), 0),
    Case(("chat",), ("--threads", "3"), (), noted("threads"), 3),
    Case(("chat",), ("--theme", "nord"), (), noted("theme"), "nord"),
    Case(("chat",), ("--plain",), (), noted("plain"), True),
    Case(("chat",), ("--low-bandwidth",), (), noted("low_bandwidth"), True),
)
THREADS = (
    Case(("threads", "list"), ("--json",), (), is_json, True, saved),
    Case(("threads", "list"), ("--trash",), (), lambda _, said: "hill?" in said.out, True, trashed),
    Case(("threads", "show"), ("--json",), ("sea",), is_json, True, saved),
    Case(("threads", "search"), ("--limit", "1"), ("harbour", "--json"), lines, 1, saved),
    Case(("threads", "search"), ("--json",), ("harbour",), is_json, True, saved),
    Case(("threads", "export"), ("--format", "json"), ("sea", "--output", "-"), is_json, True,
         saved),
    Case(("threads", "export"), ("--output", "{tmp}/out.md"), ("sea",),
         lambda world, _: (world.tmp / "out.md").exists(), True, saved),
    Case(("threads", "export"), ("--force",), ("sea", "--output", "{tmp}/sea.md"), code, 0,
         exported),
    Case(("threads", "import"), ("--format", "chatgpt"), ("{tmp}/sea.json",), code, 66,
         exported_json),
    Case(("threads", "import"), ("--json",), ("{tmp}/sea.json",), is_json, True, exported_json),
    Case(("threads", "encrypt"), ("--keyring",), (), key_kind, True, passphrase),
    Case(("threads", "passphrase"), ("--keyring",), (), key_kind, True, encrypted),
    Case(("threads", "passphrase"), ("--new-file", "{tmp}/new"), (), code, 0, encrypted),
)  # fmt: skip
OTHERS = (
    Case((), ("--version",), ("config", "path"), lambda _, said: "version" in said.out, True),
    Case(("bench",), ("--model", "{tmp}/Other.gguf"), (), noted("benched"), "Other", linked),
    Case(("bench",), ("--json",), (), is_json, True),
    Case(("bench",), ("--quick",), (), noted("plan"), QUICK),
    Case(("doctor",), ("--json",), (), is_json, True),
    Case(("models", "list"), ("--json",), (), is_json, True),
    Case(("models", "probe"), ("--again",), ("{starter}", "--json"),
         lambda _, said: json.loads(said.out)["remembered"], False, probed),
    Case(("models", "probe"), ("--json",), ("{starter}",), is_json, True),
    Case(("models", "remove"), ("--yes",), ("ours",),
         lambda *_: (paths.models_dir() / "owner/repo/ours.gguf").exists(), False, pulled),
    Case(("config", "show"), ("--json",), (), is_json, True),
)  # fmt: skip
CASES: tuple[Case, ...] = (*ASK, *CHAT, *THREADS, *OTHERS)
# The program accepts the options of `chat` before any command.
CASES += tuple(Case((), each.option, each.rest, each.seen, each.wanted, each.setup)
               for each in CHAT)  # fmt: skip


@pytest.fixture
def world(
    private_home: Path, tmp_path: Path, starter_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> World:  # fmt: skip
    world = World(private_home, tmp_path, starter_path, monkeypatch, capsys)
    monkeypatch.setenv("KOEL_THREADS", "1")  # more would slow parallel tests
    monkeypatch.chdir(tmp_path)  # an export without --output writes there
    keyring = MemoryKeyring()
    monkeypatch.setattr(unlock, "SystemKeyring", lambda: SystemKeyring(keyring))

    async def measure(path: Path, plan: Plan) -> Report:
        world.noted |= {"benched": path.stem, "plan": plan}
        return REPORT

    monkeypatch.setattr(bench, "_run_bench", measure)
    return world


def watch_the_window(world: World) -> None:
    """Replace the window and the engine; record the options that they would get."""

    def shown(plain: bool) -> Callable[..., tuple[int, None]]:
        def show(connect: Callable[[], Any], *rest: Any) -> tuple[int, None]:
            backend = connect()
            world.noted["plain"] = plain
            world.noted["chat_template"] = backend.defaults.chat_template
            if not plain:
                start = rest[2]
                world.noted |= {"theme": start.theme, "low_bandwidth": start.low_bandwidth}

            async def load() -> None:
                with pytest.raises(ModelLoadError):
                    await backend.agent.load()
                await backend.client.dispose()
                await backend.agent.close()

            asyncio.run(load())
            return 0, None

        return show

    world.monkeypatch.setattr(chat, "_check_terminal", lambda _: None)
    world.monkeypatch.setattr(chat, "why_window_impossible", lambda *_, **__: "")
    world.monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    world.monkeypatch.setattr(chat, "_run_window", shown(plain=False))
    world.monkeypatch.setattr(chat, "_run_plain_mode", shown(plain=True))
    watch_the_load(world)


def watch_the_load(world: World) -> None:
    """Replace the load of the engine; record its options."""

    async def load(spec: Any, **options: Any) -> None:
        for name in ("context_tokens", "gpu_layers", "threads"):
            world.noted[name] = getattr(spec, name)
        world.noted |= {"model": spec.path.stem, **options}
        raise ModelLoadError("no engine is loaded in this test")

    world.monkeypatch.setattr(EngineHost, "load", load)


def named(case: Case) -> str:
    return " ".join((*case.command, case.option[0]))


def needs_a_model(case: Case) -> bool:
    """Return whether a case runs a model; it takes seconds."""
    return case in ASK or case.command in (("doctor",), ("models", "probe"))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(each, id=named(each), marks=[pytest.mark.slow] * needs_a_model(each))
        for each in CASES
    ],
)
def test_an_option_changes_the_result_of_its_command(case: Case, world: World) -> None:
    for name, value in case.environment.items():
        world.monkeypatch.setenv(name, value)
    if case.command in ((), ("chat",)):
        watch_the_window(world)
    elif case.command == ("ask",) and case.option[0] in ("--gpu-layers", "--threads"):
        watch_the_load(world)
    seen = []
    for option in ((), case.option):
        for left in world.home.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        world.monkeypatch.delenv("KOEL_PASSPHRASE_FILE", raising=False)
        world.noted.clear()
        case.setup(world)
        words = [*case.command, *case.rest, *option] if case.command else [*option, *case.rest]
        said = world.run(words)
        seen.append(case.seen(world, said))
    without, with_it = seen
    assert with_it != without, said.err
    if case.wanted is not None:
        assert with_it == case.wanted


def test_every_option_has_a_case() -> None:
    """Except for --debug: test_global_options tries it with all commands."""
    options = {
        (words, each.opts[0])
        for words, command in every_command()
        for each in command.params
        if isinstance(each, click.Option) and each.opts[0] != DEBUG_OPTION
    }
    cases = {(case.command, case.option[0]) for case in CASES}
    assert options - cases == set(), "an option without a case here"
    assert cases - options == set(), "a case of an option that is not there"
    assert len(cases) == len(CASES)


def test_the_ranges_of_ask_are_those_of_the_engine() -> None:
    ask = dict(every_command())[("ask",)]
    allowed = {**RANGES, "max_output_tokens": OUTPUT_TOKENS}
    found = set()
    for each in ask.params:
        if each.name not in allowed:
            continue
        found.add(each.name)
        range_ = allowed[each.name]
        for value, fits in (
            (range_.start, not range_.open_start),
            (range_.end, True),
            (range_.start - 1, False),
            (range_.end + 1, False),
        ):
            text = str(int(value))
            try:
                each.type.convert(text, each, click.Context(ask))
            except click.BadParameter:
                assert not fits, (each.name, text)
            else:
                assert fits, (each.name, text)
    assert found >= {"temperature", "seed", "top_k", "top_p", "min_p", "repeat_penalty"}
