"""Scenes of messages: questions, answers, branches, and the states in between."""

from tests.ui.window import Window

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
    await window.until(lambda: "loading model 42%" in window.status)


async def an_answer(window: Window) -> None:
    await answered(window)


async def top_of_an_answer(window: Window) -> None:
    await answered(window)
    await window.press("ctrl+home")
    await window.reads("How do I make tea?")


async def reading(window: Window) -> None:
    turn = await window.ask("How do I make tea?")
    turn.report(phase="reading", fraction=0.4)
    await window.until(lambda: "reading 40%" in window.status)


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
            await window.until(lambda: not window.app._workspace.active.is_busy)
        else:
            turn.write("Well,")
            await window.reads("Well,")
        await window.press("ctrl+n")
    window.agent.turns[2].finish()
    await window.until(lambda: any("●" in tab for tab in window.tabs))
    await window.until(lambda: "13 New" in window.lines[0])


async def long_prompt(window: Window) -> None:
    await window.type(LONG)
    await window.type("".join(f"\nand line {n} of the prompt" for n in range(14)))
    await window.sees("and line 13")


async def too_big(window: Window) -> None:
    turn = await window.ask("Print a table")
    turn.write("\n".join(f"- item {n}" for n in range(2000)))
    turn.finish()
    await window.sees("alt+m")


async def toast(window: Window) -> None:
    await answered(window)
    await window.press("alt+c")
    await window.sees("Sent the answer")


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


async def editing(window: Window) -> None:
    await branches(window)
    await window.press("alt+e")
    await window.sees("editing your message")


async def empty_branch(window: Window) -> None:
    await branches(window)
    await window.press("ctrl+r")
    await window.until(lambda: len(window.agent.turns) == 4)
    await window.press("escape")
    await window.reads("This branch is empty")


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
