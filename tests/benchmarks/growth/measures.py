"""The measured costs: medians of several rounds, in milliseconds unless stated otherwise."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.preparation import Preparation
from koel_tui.engine.wire_messages import StartTurn
from koel_tui.protocol import Message, OpenMessage, RunPhase
from koel_tui.storage import JsonFileStorage
from tests.benchmarks.growth.curves import Curve
from tests.benchmarks.report import median
from tests.benchmarks.test_prompt_speed import SETTINGS, load, talk
from tests.benchmarks.test_send_speed import block_of_a_send, thread
from tests.benchmarks.test_storage_speed import SCREEN, awaited, conversation, fill
from tests.benchmarks.ui.outside import KOEL, Outside
from tests.benchmarks.ui.test_opening import saved_tabs
from tests.ui.window import opened

ROUNDS = 5
STREAMED_S = 30
PIECE = "Once upon a time, there was a ship. " * 12
"""The text written in one second at 100 tokens per second."""


def prepare(model: Path, counts: Sequence[int]) -> Curve:
    """Measure rendering, trimming and tokenizing the next turn of a thread."""
    points = {}
    with NativeLog(logging.getLogger("growth")) as log:
        loaded = LoadedModel(load(model), log, lambda _: True)
        for count in counts:
            times = []
            for number in range(ROUNDS):
                messages = talk(count, f"{number} {count}")
                new = talk(1, f"{number} {count} new")[::-1]
                for turn in (messages, (*messages, *new)):
                    preparation = Preparation(loaded, StartTurn(1, 1, turn, SETTINGS), "growth")
                    begin = time.perf_counter()
                    preparation.run()
                    seconds = time.perf_counter() - begin
                times.append(seconds * 1e3)
            points[count] = median(times)
        loaded.close()
    return Curve("render and tokenize the next turn", points)


async def _longest_block(folder: Path, count: int) -> float:
    storage = JsonFileStorage(folder)
    await storage.save("long", thread(count))
    async with opened(storage=storage, thread="long") as window:
        await window.until(lambda: bool(window.shown))
        await window.pilot.pause()
        await block_of_a_send(window)
        block = await block_of_a_send(window)
    return block.wall * 1e3


def send(folder: Path, counts: Sequence[int]) -> Curve:
    """Measure the longest time that a send blocks the event loop of the window."""
    points = {
        count: median(
            [
                asyncio.run(_longest_block(folder / f"send {count} {number}", count))
                for number in range(ROUNDS)
            ]
        )
        for count in counts
    }
    return Curve("longest block of the window by a send", points)


def store(folder: Path, counts: Sequence[int]) -> list[Curve]:
    """Measure loading a thread, saving it, and changing its title."""
    loads, saves, titles = {}, {}, {}

    async def rename(storage: JsonFileStorage, title: str) -> None:
        await storage.update_meta("t", title=title)

    for count in counts:
        storage, state = JsonFileStorage(folder / f"store {count}"), conversation(count)
        asyncio.run(storage.save("t", state))
        loading = [awaited(storage.load, "t") * 1e3 for _ in range(ROUNDS)]
        asyncio.run(storage.open("t"))
        asyncio.run(storage.save("t", state))
        longer = replace(state, messages=(*state.messages, Message("new", "user", "And then?")))
        saving = [
            awaited(storage.save, "t", (longer, state)[number % 2]) * 1e3
            for number in range(ROUNDS)
        ]
        renaming = [awaited(rename, storage, str(number)) * 1e3 for number in range(ROUNDS)]
        asyncio.run(storage.close("t"))
        loads[count], saves[count] = median(loading), median(saving)
        titles[count] = median(renaming)
    return [
        Curve("load a thread", loads),
        Curve("save a turn", saves),
        Curve("change a title", titles),
    ]


@contextmanager
def _counted_writes() -> Iterator[list[int]]:
    """Count the bytes that are written to files."""
    written, real = [0], os.write

    def counting(descriptor: int, data: bytes) -> int:
        done = real(descriptor, data)
        written[0] += done
        return done

    with mock.patch.object(os, "write", counting):
        yield written


def stream(folder: Path, counts: Sequence[int]) -> Curve:
    """Measure the kilobytes written per second of an answer."""

    async def write(storage: JsonFileStorage, count: int) -> float:
        state, answer = conversation(count), OpenMessage.of(Message("a", "assistant"))
        await storage.open("t")
        await storage.save("t", state)
        with _counted_writes() as written:
            for _ in range(STREAMED_S):
                answer = answer.append(PIECE)
                running = replace(state, open_messages=(answer,), phase=RunPhase.RUNNING)
                await storage.save_progress("t", running)
        return written[0] / STREAMED_S / 1e3

    points = {
        count: asyncio.run(write(JsonFileStorage(folder / f"stream {count}"), count))
        for count in counts
    }
    return Curve("written for each second of an answer", points)


def tabs(counts: Sequence[int]) -> list[Curve]:
    """Measure the time until the window and a typed key are seen, by number of saved tabs."""
    starts, keys = {}, {}
    for count in counts:
        starting, typing = [], []
        for number in range(ROUNDS + 1):
            with saved_tabs(count), Outside([KOEL]) as program:
                seconds = program.see("1 T0") - program.begun
                program.watch(2.0)
                echoes = program.echo(8)
            if number:  # the first one reads the files of the program
                starting.append(seconds * 1e3)
                typing += echoes
        starts[count], keys[count] = median(starting), median(typing)
    return [Curve("start", starts), Curve("a key until it is seen", keys)]


def threads(folder: Path, counts: Sequence[int]) -> list[Curve]:
    """Measure listing the saved threads: those of the first screen, and all."""
    first, every = {}, {}
    for count in counts:
        path = folder / f"threads {count}"
        fill(path, "json", count)
        screens, lists = [], []
        for _ in range(ROUNDS):
            screens.append(awaited(JsonFileStorage(path).summaries, SCREEN) * 1e3)
            lists.append(awaited(JsonFileStorage(path).summaries) * 1e3)
        first[count], every[count] = median(screens), median(lists)
    return [Curve("first screen of the list", first), Curve("the whole list", every)]
