"""Writes the directory `full` with version 0.1 of koel-chat; README.md has the command.

The window, the library and the command line of 0.1 write every file. `expected.json` is what 0.1
itself reads from them afterwards.
"""

import asyncio
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import configuration
import expected
from ag_ui.core import RunAgentInput, TextMessageContentEvent, UserMessage
from koel_tui.cli.unlocking import unlocked
from koel_tui.models.own import unfinished_path
from koel_tui.models.passed import Traits
from koel_tui.storage.exchange.thread import Thread
from koel_tui.storage.recovery import Unsaved, put_aside
from koel_tui.ui.tabs_file import TabsFile

import koel_tui
from koel_tui import chat_templates, paths
from koel_tui.agents import LocalAgent, Snapshots, TurnSettings
from koel_tui.cli.main import run
from koel_tui.engine import Engine, ModelSpec, Sampling
from koel_tui.models.probe import passed_models
from koel_tui.protocol import (
    ChatState,
    Fork,
    Message,
    OpenMessage,
    RunPhase,
    ToolCall,
)
from koel_tui.session.settings import ThreadSettings
from koel_tui.storage import EncryptedFileStorage, JsonFileStorage, StorageError
from tests.models.gguf_file import write_gguf
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import Window, opened

HERE = Path(__file__).resolve().parent
FULL = HERE / "full"
PASSPHRASE = "correct horse battery staple"  # noqa: S105 - the one of the fixture
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
LONG_PASTE = "".join(f"line {number} of a long paste\n" for number in range(30))
LONG_QUESTION = "I walked to the harbour and wrote down what I saw there. " * 4
SNAPSHOT_THREAD = "thread with a snapshot"
EVERYTHING = "every field"
STRANGE = ["", "../x", "A", "a", "\0", "x" * 300, "\N{PARROT}", "\ud800", "CON"]
ALL_SETTINGS = ThreadSettings(
    system="You are a geographer.\nAnswer with one word.",
    sampling={"temperature": 1.25, "top_p": 0.5, "top_k": 17, "min_p": 0.125,
              "repeat_penalty": 1.5, "seed": 4294967295},
    max_output_tokens=77,
    thinking=True,
    model="own-model",
    lora="adapter.gguf",
    chat_template="mistral",
)  # fmt: skip


class CountingAgent(ScriptedAgent):
    """An agent that can count the tokens of attached files."""

    async def count_tokens(self, text: str) -> int | None:
        return len(text) // 4


class FullDisk(JsonFileStorage):
    """A directory on a disk without space."""

    async def save(self, thread_id: str, state: ChatState) -> None:
        raise StorageError("not saved") from OSError(28, "No space left on device")


def use(variant: Path) -> None:
    """Make this directory the home of everything that follows."""
    os.environ["HOME"] = str(variant)
    for name in ("data", "config", "cache", "state"):
        os.environ[f"XDG_{name.upper()}_HOME"] = str(variant / name)


def command(*words: str) -> str:
    """Run a command of 0.1 and return what it prints."""
    printed = StringIO()
    with redirect_stdout(printed), ThreadPoolExecutor(1) as thread:
        code = thread.submit(run, list(words)).result()  # it has a separate event loop
    assert code == 0, (words, code)
    return printed.getvalue()


async def answer(window: Window, turn: Turn, text: str) -> None:
    """Have a run answered, and wait until it is saved."""
    turn.write(text)
    turn.measure(model="Scripted-1B", context_tokens=8192, prompt_tokens=12, reused_tokens=3,
                 output_tokens=4, trimmed_turns=0, decode_tokens_per_s=21.5,
                 time_to_first_token_s=0.25)  # fmt: skip
    turn.finish()
    await window.reads(text.partition("\n")[0])
    await saved(window)


async def saved(window: Window) -> None:
    await window.until(lambda: "saved" in window.status, "saved")


async def again(window: Window, key: str) -> Turn:
    """Press a key that begins a run, and return the run."""
    before = len(window.agent.turns)
    await window.press(key)
    await window.until(lambda: len(window.agent.turns) > before, "a run")
    return window.agent.turns[before]


async def capitals(window: Window) -> None:
    """Think, call a tool, answer twice, edit the question, answer twice again, switch back."""
    turn = await window.ask("What is the capital of France?")
    turn.think("The user asks ", "for a capital.")
    turn.call("lookup", '{"country":"France"}', "Paris")
    await answer(window, turn, "It is Paris.")
    await answer(window, await again(window, "ctrl+r"), "Lutetia.")
    await window.press("alt+e")
    await window.prompts("What is the capital of France?")
    await window.type(" And of Italy?")
    await answer(window, await again(window, "enter"), "Paris and Rome.")
    await answer(window, await again(window, "ctrl+r"), "Rome, then Paris.")
    await answer(window, await window.ask("Which is older?"), "Rome is older.")
    await window.press("alt+up", "alt+up", "alt+left")
    await window.reads("What is the capital of France?")
    conversation = window.app._desk.active
    await conversation.configure("Capitals", ALL_SETTINGS)
    await saved(window)


async def attachment(window: Window, folder: Path) -> None:
    """Send a file with a question, branch off, and leave a draft with a large paste."""
    notes = folder / "notes.txt"
    notes.write_text("The harbour was quiet.\nI wrote that down.\n")
    await window.press("ctrl+n")
    await window.type(str(notes))
    await window.sees("enter attaches")
    await window.press("enter")
    await window.until(lambda: "[notes.txt" in window.prompt.text, "the file")
    turn = await window.ask(" What is in it?")
    await answer(window, turn, "A quiet harbour.\n\n```python\nprint('harbour')\n```")
    await window.press("alt+n")
    await window.until(lambda: len(window.tabs) == 3, "the branch")
    await answer(window, await window.ask("And the weather?"), "Fair.")
    await window.type("See this: ")
    await window.type(LONG_PASTE)
    await window.until(lambda: "[pasted 30 lines" in window.prompt.text, "the paste")


async def broken_off(window: Window) -> None:
    """Stop an answer, have one fail, leave one unfinished with a text that waits."""
    await window.press("ctrl+n")
    turn = await window.ask("Tell a long story")
    turn.write("Once upon a")
    await window.reads("Once upon a")
    await window.press("escape")
    await saved(window)
    await window.press("ctrl+n")
    (await window.ask("Does it fail?")).fail("The model is gone.")
    await window.reads("The model is gone.")
    await saved(window)
    await window.press("ctrl+n")
    turn = await window.ask("Count to a hundred")
    turn.write("One, two, three")
    await window.reads("One, two, three")
    await window.type("and this waits")
    await window.press("enter")


async def first_window(folder: Path) -> str:
    """Use a window; return the id of a thread that is to be deleted."""
    agent = CountingAgent()
    storage = JsonFileStorage(paths.threads_dir())
    size = (100, 40)
    async with opened(size=size, agent=agent, storage=storage, home=paths.state_dir()) as window:
        await window.connected()
        await capitals(window)
        await attachment(window, folder)
        await window.press("ctrl+n")
        await answer(window, await window.ask("This goes to the trash"), "All right.")
        doomed = window.app._desk.active.thread_id
        await window.press("alt+w")
        await broken_off(window)
        await window.press("ctrl+n")
        await window.type("only a draft: äöü \N{PARROT}\nsecond line")
        await window.press("ctrl+q")
        await window.until(lambda: not window.app.is_running, "the end")
    assert doomed is not None
    return doomed


async def second_window() -> None:
    """Use a second window while the first one still has its tabs."""
    first = TabsFile(paths.state_dir())
    first.open()
    storage = JsonFileStorage(paths.threads_dir())
    async with opened(storage=storage, home=paths.state_dir()) as window:
        await answer(window, await window.ask("Asked in the second window"), "Answered there.")
        await window.type("draft of the second window")
        await window.press("ctrl+q")
        await window.until(lambda: not window.app.is_running, "the end")
    first.close()


async def window_without_space() -> None:
    """Use a window that can save nothing; what it has goes to a recovery file."""
    storage = FullDisk(paths.threads_dir())
    with tempfile.TemporaryDirectory() as elsewhere:
        async with opened(storage=storage, home=Path(elsewhere)) as window:
            turn = await window.ask("A question that could not be saved")
            turn.write("An answer that could not be saved.")
            turn.finish()
            await window.reads("An answer that could not be saved.")
            await window.press("ctrl+q")
            await window.until(lambda: not window.app.is_running, "the end")


def every_field() -> ChatState:
    """Return a state in which every field of every value is set."""
    call = ToolCall("c1", "getWeather", '{"city":"Harbour"}', "m2", {"futureCall": [1, None]})
    asked = Message("m1", "user", "Weather? \ud800 \N{PARROT}", AT, name="Ann",
                    attachments=({"type": "image", "source": {"type": "data", "value": "AQID",
                                                              "mimeType": "image/png"}},),
                    extra={"futureMessage": {"deep": True}})  # fmt: skip
    called = Message("m2", "assistant", "", AT, reasoning="First I look.\n\nThen I say.",
                     tool_calls=(call,), reasoning_ids=("e1", "e2"))  # fmt: skip
    result = Message("m3", "tool", "18 degrees", AT, tool_call_id="c1")
    activity = Message("m4", "activity", '{"step":1}', AT)
    system = Message("m0", "system", "Be brief.", AT)
    stopped = Message("m5", "assistant", "It is", AT, interrupted=True, usage={"model": "M",
                      "output_tokens": 2})  # fmt: skip
    other = (Message("n1", "user", "Another question", AT), Message("n2", "assistant", "Yes.", AT))
    inner = (Message("n3", "assistant", "No.", AT),)
    return ChatState(
        messages=(system, asked, called, result, activity, stopped),
        open_messages=(OpenMessage.of(Message("p1", "assistant", "The weather is")),
                       OpenMessage.of(Message("p2", "assistant", "Meanwhile"))),
        pending_tool_calls=(ToolCall("c2", "getTide", '{"place":"Ha'),),
        state={"counter": 1, "list": [1.5, "x", None, True]},
        reasoning_echo={"e1": bytes([0, 1, 2, 250, 251, 255]), "n3": b"hidden"},
        phase=RunPhase.STEP_RUNNING,
        forks=(Fork("m0", ((), other, ()), 0), Fork("n1", ((), inner), 0)),
        extra={"futureState": "kept"},
    )  # fmt: skip


def said(*texts: str) -> ChatState:
    """Return a state in which a user and the assistant say this in turn."""
    roles = ("user", "assistant")
    return ChatState(tuple(Message(f"{n}", roles[n % 2], each, AT) for n, each in enumerate(texts)))


async def library_threads() -> None:
    """Save through the library: every field, strange ids, every phase, a conflict."""
    storage = JsonFileStorage(paths.threads_dir())
    await storage.save(EVERYTHING, every_field())
    await storage.update_meta(EVERYTHING, title="Every field", parent="another", future={"a": [1]},
                              **ALL_SETTINGS.meta)  # fmt: skip
    for number, name in enumerate(STRANGE):
        await storage.save(name, said(f"Question of strange thread {number}", "Answer."))
    for phase in RunPhase:
        state = ChatState(said("In which phase?", "In this one.").messages, phase=phase)
        await storage.save(f"phase {phase.value}", state)
    other = JsonFileStorage(paths.threads_dir())
    await storage.save("conflict", said("Base", "Base."))
    await other.load("conflict")
    await other.save("conflict", said("Base", "Base.", "Theirs", "Theirs."))
    await storage.save("conflict", said("Base", "Base.", "Mine", "Mine."))
    await storage.save("deleted by the library", said("Also in the trash", "Yes."))
    await storage.trash("deleted by the library")


async def write_snapshot(folder: Path) -> None:
    """Have the tiny model of the tests answer a thread, and release it."""
    setattr(chat_templates, "BUILT_IN_TEMPLATES", chat_templates.BUILT_IN)  # noqa: B010 - not in 0.1
    source = HERE.parents[1] / "engine" / "tiny_models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", source)
    assert spec is not None and spec.loader is not None
    tiny_models = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny_models)
    model = tiny_models.write_sliding_model(folder / "tiny.gguf")

    async def load(progress: Callable[[float], None]) -> Engine:
        return await Engine.load(ModelSpec(model, context_tokens=1024, slots=2, threads=1))

    defaults = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=4)
    agent = LocalAgent(load, defaults, Snapshots(paths.cache_dir() / "kv"))
    asked = [UserMessage(id="0", role="user", content=LONG_QUESTION)]
    run_input = RunAgentInput(thread_id=SNAPSHOT_THREAD, run_id="r", messages=asked)
    events = [event async for event in agent.run(run_input)]
    text = "".join(each.delta for each in events if isinstance(each, TextMessageContentEvent))
    await JsonFileStorage(paths.threads_dir()).save(SNAPSHOT_THREAD, said(LONG_QUESTION, text))
    await agent.release(SNAPSHOT_THREAD)
    await agent.close()


def write_models() -> None:
    """Write a model of our own directory, an unfinished download, and which models passed."""
    own = write_gguf(paths.models_dir() / "own-model.gguf", 1024)
    unfinished = unfinished_path(own.with_name("half.gguf"), "0123456789abcdef" * 4)
    unfinished.write_bytes(b"GGUF half of a model")
    passed_models().remember([], "0123456789abcdef" * 4, Traits("llama", 2048))


def write_plain(folder: Path) -> None:
    """Write the directory whose threads are not encrypted."""
    configuration.write()
    doomed = asyncio.run(first_window(folder))
    asyncio.run(second_window())
    asyncio.run(library_threads())
    asyncio.run(write_snapshot(folder))
    write_models()
    command("threads", "delete", doomed)
    command("threads", "rename", "Asked in the second window", "The second window")


async def write_encrypted_recovery(storage: EncryptedFileStorage) -> None:
    """Write a recovery file with the key of the threads, as a window does."""
    thread = Thread(
        "unsaved secret", said("A secret question", "A secret answer."), {"title": "Secret"}
    )
    tabs = {"format": "koel-chat/tabs", "tabs": [{"thread": None, "title": "", "draft":
            {"text": "a secret draft"}}], "active": 0}  # fmt: skip
    await storage.list_threads()
    put_aside(Unsaved((thread,), tabs), paths.recovery_dirs(), storage.codec.seal_aside, AT)


async def goes_on() -> None:
    """Write a recovery file with a saved thread that has got longer since, and with drafts."""
    saved_state = await JsonFileStorage(paths.threads_dir()).load(SNAPSHOT_THREAD)
    assert saved_state is not None
    more = said("", "", "Is that all?", "No.").messages[2:]
    state = ChatState((*saved_state.messages, *more))
    tabs = {"format": "koel-chat/tabs", "tabs": [{"thread": None, "title": "", "draft":
            {"text": "a draft that could not be saved"}}], "active": 0}  # fmt: skip
    put_aside(Unsaved((Thread(SNAPSHOT_THREAD, state),), tabs), paths.recovery_dirs(), bytes, AT)


def main() -> None:
    assert koel_tui.__version__ == "0.1.0" and importlib.util.find_spec("koel_tui.storage.record")
    shutil.rmtree(FULL, ignore_errors=True)
    os.umask(0o077)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plain, encrypted, passphrase = (
            folder / name for name in ("plain", "encrypted", "passphrase")
        )
        tempfile.tempdir = place
        plain.mkdir()
        passphrase.write_text(PASSPHRASE)
        os.environ["KOEL_PASSPHRASE_FILE"] = str(passphrase)
        use(plain)
        write_plain(folder)
        shutil.copytree(plain, encrypted)
        asyncio.run(window_without_space())
        asyncio.run(goes_on())
        found = asyncio.run(expected.everything(JsonFileStorage(paths.threads_dir()), command))
        use(encrypted)
        command("threads", "encrypt")
        storage = EncryptedFileStorage(paths.threads_dir(), key=unlocked(paths.threads_dir()))
        asyncio.run(write_encrypted_recovery(storage))
        again = asyncio.run(expected.threads(storage, command))
        assert again == found["threads"]
        for variant in (plain, encrypted):
            ignored = shutil.ignore_patterns("search-*", "*.log")
            shutil.copytree(variant, FULL / variant.name, ignore=ignored)
        (FULL / "encrypted" / "passphrase").write_text(PASSPHRASE)
        (FULL / "expected.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
