"""The states a window can be in, each reached the way a user reaches it."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from koel_tui.models import NoModelError
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.ui.open_tabs import OpenTab, OpenTabs
from koel_tui.ui.pastes import Draft
from koel_tui.ui.tabs_file import TabsFile
from tests.storage.helpers import Clock
from tests.ui.window import Window, messages

Scene = Callable[[Window], Awaitable[None]]

ANSWER = """\
# Making tea

Boil **fresh** water, then *wait* a minute. See [the guide](https://example.org/tea).

1. Warm the pot
2. Add the leaves
   - black: four minutes
   - green: two

| tea | minutes |
|---|---|
| black | 4 |
| green | 2 |

```python
def steep(minutes: int) -> str:
    return f"wait {minutes}"
```

> Patience is half of it.
"""
STRANGE = (
    "漢字かな 👩‍👩‍👧 é\u0301 שלום עולם مرحبا \u202egnol\u202c \x1b[31mred[/b] [@click=app.quit]x[/]"
)
LONG = "\n".join(f"line {n}" for n in range(120))
LINE = "word " * 30


async def answered(window: Window, text: str = ANSWER) -> None:
    turn = await window.ask("How do I make tea?")
    turn.write(text)
    turn.measure(
        model="Scripted-1B",
        prompt_tokens=900,
        output_tokens=300,
        context_tokens=8192,
        decode_tokens_per_s=42.0,
    )
    turn.finish()
    await window.until(lambda: "saved" in window.status and window.shown[-1:] == [text])


async def nothing_yet(window: Window) -> None:
    await window.connected()


async def loading(window: Window) -> None:
    await window.until(lambda: "loading model" in window.status)
    window.agent.progress(0.42)
    await window.until(lambda: "loading model 42 %" in window.status)


async def no_model(window: Window) -> None:
    window.agent.end_load(NoModelError("No model is here. Give one with --model FILE.gguf."))
    await window.sees("Qwen3-4B-GGUF")  # all models are listed
    await window.sees("Give one with")


async def an_answer(window: Window) -> None:
    await answered(window)


async def top_of_an_answer(window: Window) -> None:
    await answered(window)
    await window.press("ctrl+home")
    await window.reads("How do I make tea?")


async def reading(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.report(phase="reading", fraction=0.4)
    await window.until(lambda: "reading 40 %" in window.status)


async def writing(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.write(ANSWER[:150])
    await window.reads("Add the leaves")


async def writing_below(window: Window) -> None:
    await answered(window)
    await answered(window)
    turn = await window.ask("And coffee?")
    turn.write("Grind it.")
    await window.reads("Grind it.")
    await window.press("ctrl+home")
    await window.reads("How do I make tea?")
    turn.write("\n\nThen pour.")
    await window.sees("new text below")


async def folded(window: Window) -> None:
    turn = await window.ask("What is the weather?")
    turn.think("The user asks for the weather. ", "I look it up.")
    turn.call("weather", '{"city":"Hamburg"}', "rain, 9 degrees")
    turn.write("It rains.")
    turn.finish()
    await window.reads("It rains.")
    await window.until(lambda: "saved" in window.status)


async def unfolded(window: Window) -> None:
    await folded(window)
    await window.press("ctrl+t")
    await window.reads('"city": "Hamburg"')


async def queued(window: Window) -> None:
    turn = await window.ask("One")
    turn.write("The answer to one")
    await window.reads("The answer to one")
    for text in ("Two", "Three, which is longer: " + LINE):
        await window.type(text)
        await window.press("enter")
    await window.sees("queued: Three")


async def stopped(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.write("Boil the water and")
    await window.reads("Boil the water and")
    await window.press("escape")
    await window.sees("alt+g")


async def failed(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.fail("The model ended while it answered. It is started again at your next message.")
    await window.sees("Retry")


async def many_tabs(window: Window) -> None:
    for n in range(1, 13):
        turn = await window.ask(f"Question {n} about many things")
        if n % 3:
            turn.finish()
            await window.until(lambda: "saved" in window.status)
        if n % 3 == 0:
            turn.write("Well,")
            await window.reads("Well,")
        await window.press("ctrl+n")
    window.agent.turns[2].finish()
    await window.until(lambda: any("●" in tab for tab in window.tabs))
    await window.until(lambda: "13 New" in window.lines[0])


async def tab_list(window: Window) -> None:
    await many_tabs(window)
    await window.press("f4")
    await window.sees("Open tabs")


async def saved_threads(window: Window) -> None:
    await window.press("ctrl+o")
    await window.sees("esc leaves")
    await window.sees("damaged:")


async def saved_threads_filtered(window: Window) -> None:
    await saved_threads(window)
    await window.type("forest")
    await window.misses("damaged:")


async def no_saved_threads(window: Window) -> None:
    await window.press("ctrl+o")
    await window.sees("Nothing is saved yet")


async def palette(window: Window) -> None:
    await window.press("ctrl+p")
    await window.sees("Search for commands")
    await window.type("tab")
    await window.sees("New tab")


async def keys(window: Window) -> None:
    await window.press("f1")
    await window.sees("esc leaves")


async def long_prompt(window: Window) -> None:
    await window.type(LONG)
    await window.type("".join(f"\nand line {n} of the prompt" for n in range(14)))
    await window.sees("and line 13")


async def links(window: Window) -> None:
    await answered(window)
    await window.press("alt+l")
    await window.sees("esc leaves")


async def a_link(window: Window) -> None:
    await links(window)
    await window.press("enter")
    await window.sees("https://")


async def too_big(window: Window) -> None:
    turn = await window.ask("Print a table")
    turn.write("\n".join(f"- item {n}" for n in range(2000)))
    turn.finish()
    await window.sees("alt+m")


async def told(window: Window) -> None:
    await answered(window)
    await window.press("alt+c")
    await window.sees("Copied the answer")


async def left_out(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.write("Boil water.")
    turn.measure(model="Scripted-1B", context_tokens=8192, prompt_tokens=8000, trimmed_turns=3)
    turn.finish()
    await window.sees("The oldest 3 turns")


async def further_up(window: Window) -> None:
    await window.sees("message 59")
    await window.press("pageup", "pageup", "pageup")
    await window.until(lambda: not window.transcript.is_vertical_scroll_end)


async def at_the_top(window: Window) -> None:
    await window.sees("message 59")
    await window.press("ctrl+home")
    await window.reads("message 0")


async def strange(window: Window) -> None:
    turn = await window.ask(STRANGE)
    turn.write(f"# {STRANGE}\n\n{STRANGE}\n\n    {STRANGE}\n\nThat was all.")
    turn.finish()
    await window.reads("That was all.")
    await window.until(lambda: "saved" in window.status)


async def quitting(window: Window) -> None:
    await answered(window)
    await window.press("ctrl+c")
    await window.sees("again to quit")


async def branches(window: Window) -> None:
    turn = await window.ask("Name a tree")
    turn.write("An oak.")
    turn.finish()
    await window.until(lambda: "saved" in window.status)
    await window.press("alt+e")
    await window.type(" of the north")
    await window.press("enter")
    await window.until(lambda: len(window.agent.turns) == 2)
    for answer in ("A birch.", "A fir."):
        window.agent.turns[-1].write(answer)
        window.agent.turns[-1].finish()
        await window.reads(answer)
        await window.until(lambda: "saved" in window.status)
        if answer == "A birch.":
            await window.press("ctrl+r")
            await window.until(lambda: len(window.agent.turns) == 3)
    await window.until(lambda: window.view.count("‹2/2›") == 2)


async def revising(window: Window) -> None:
    await branches(window)
    await window.press("alt+e")
    await window.sees("editing your message")


async def unsaid_branch(window: Window) -> None:
    await branches(window)
    await window.press("ctrl+r")
    await window.until(lambda: len(window.agent.turns) == 4)
    await window.press("escape")
    await window.reads("nothing was said in this branch")


async def queue_list(window: Window) -> None:
    await queued(window)
    await window.press("alt+q")
    await window.sees("Waiting to be sent")


async def thread_settings(window: Window) -> None:
    await window.press("f2")
    await window.sees("This thread")
    await window.type("Trees")


async def bad_setting(window: Window) -> None:
    await thread_settings(window)
    await window.press("down")
    await window.until(lambda: getattr(window.app.focused, "id", "") == "field-temperature")
    await window.type("hot")
    await window.sees("from 0 to 5")


async def side_by_side(window: Window) -> None:
    await window.press("alt+s")
    await window.type("How do I make tea?")
    await window.press("enter")
    await window.until(lambda: len(window.agent.turns) == 2)
    for turn, answer in zip(window.agent.turns, (ANSWER, "With hot water."), strict=True):
        turn.write(answer)
        turn.finish()
    await window.sees("With hot water.")
    await window.until(lambda: "saved" in window.status)


async def beside_list(window: Window) -> None:
    await side_by_side(window)
    await window.press("alt+s", "alt+s")
    await window.sees("Side by side")


async def figures(window: Window) -> None:
    await answered(window)
    await window.press("f3")
    await window.sees("Figures")


async def park_question(window: Window) -> None:
    await answered(window)
    await window.press("ctrl+n")
    turn = await window.ask("And coffee?")
    turn.fail("8 sessions are open.", code="SessionLimitError")
    await window.sees("Park a thread?")


async def saved_threads_renamed(window: Window) -> None:
    await saved_threads(window)
    await window.press("f2")
    await window.sees("Rename")


async def saved_threads_deleted(window: Window) -> None:
    await saved_threads(window)
    await window.press("ctrl+d")
    await window.sees("^z undo")


async def saved_threads_exported(window: Window) -> None:
    await saved_threads(window)
    await window.press("ctrl+s")
    await window.sees("Markdown")


SCENES: Mapping[str, Scene] = {
    scene.__name__: scene
    for scene in (
        nothing_yet, loading, no_model, an_answer, top_of_an_answer, reading, writing,
        writing_below, folded, unfolded, queued, stopped, failed, many_tabs, tab_list,
        saved_threads, saved_threads_filtered, no_saved_threads, palette, keys, long_prompt, links,
        a_link, too_big, told, left_out, further_up, at_the_top, strange, quitting,
        branches, revising, unsaid_branch, queue_list, thread_settings, bad_setting, side_by_side,
        beside_list, figures, park_question, saved_threads_renamed, saved_threads_deleted,
        saved_threads_exported,
    )
}  # fmt: skip


UNLOADED = ("loading", "no_model")
"""The scenes that begin before the model is there."""


async def stage(name: str, home: Path) -> MemoryStorage | JsonFileStorage:
    """Return the storage a scene begins with; `home` gets the tabs it begins with."""
    if name.startswith("saved_threads"):
        storage = JsonFileStorage(home / "threads", clock=Clock())
        for n, asked in enumerate(("About forests", "About 漢字 cities", "A very " + LINE)):
            asks = Message("u", "user", asked)
            await storage.save(f"t{n}", ChatState(messages=(asks,)))
        await storage.save("damaged", messages(2))
        (path,) = (
            file for file in storage.directory.glob("*.json") if "message 0" in file.read_text()
        )
        path.write_text("[half")
        return JsonFileStorage(home / "threads", clock=Clock())
    memory = MemoryStorage(clock=Clock())
    if name in ("further_up", "at_the_top"):
        await memory.save("t", messages(60))
        tabs = TabsFile(home)
        tabs.open()
        tabs.write(OpenTabs((OpenTab("t", "Sixty messages", Draft("")),), 0))
        tabs.close()
    return memory
