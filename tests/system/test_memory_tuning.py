"""Memory tuning: one heap for all threads, release of free memory, and idle-time collections."""

import gc
import platform
import subprocess
import sys
import textwrap
import weakref

import psutil
import pytest
from textual.widget import Widget
from textual.widgets import Tab
from textual.widgets._footer import FooterKey

from koel_tui.system.memory_tuning import GcControl, limit_malloc_arenas, trim_heap
from tests.ui.window import opened

COUNT = textwrap.dedent("""
    import ctypes, threading, tempfile
    from koel_tui.system.memory_tuning import limit_malloc_arenas
    if {asked}:
        assert limit_malloc_arenas()
    libc = ctypes.CDLL(None)
    libc.fopen.restype = ctypes.c_void_p
    started = threading.Barrier(5)
    def allocate():
        held = [object() for _ in range(100_000)], [bytes(600) for _ in range(1000)]
        started.wait()
    threads = [threading.Thread(target=allocate) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    for thread in threads:
        thread.join()
    with tempfile.NamedTemporaryFile() as file:
        stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
        libc.malloc_info(0, stream)
        libc.fclose(stream)
        print(file.read().count(b"<heap nr="))
""")


class Knot:
    """An object in a reference cycle, which only a garbage collection frees."""

    def __init__(self) -> None:
        self.self = self


def old_knot() -> "weakref.ref[Knot]":
    """Return a weak reference to an unreachable cycle that only a full collection frees."""
    knot = Knot()
    gc.collect(1)
    return weakref.ref(knot)


def small_looks(count: int) -> None:
    for _ in range(count):
        gc.collect(1)


def test_garbage_is_collected_only_after_several_checks() -> None:
    before, garbage = gc.get_threshold(), GcControl()
    garbage.start()
    try:
        garbage.collect()
        small_looks(1)
        knot = old_knot()
        garbage.collect()
        assert knot() is not None
        small_looks(12)
        garbage.collect()
        assert knot() is None
    finally:
        garbage.stop()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)


async def test_garbage_is_collected_while_no_answer_is_written() -> None:
    before = gc.get_threshold()
    async with opened() as window:
        turn = await window.ask("One")
        turn.write("Two")
        await window.reads("Two")
        knot = old_knot()
        small_looks(12)
        window.app._check()
        assert knot() is not None
        turn.finish()
        await window.until(lambda: "saved" in window.status)
        small_looks(12)
        await window.until(lambda: knot() is None, "a look for garbage")
        assert gc.get_threshold() != before
    assert gc.get_threshold() == before


async def test_widgets_that_are_gone_are_collected() -> None:
    async with opened() as window:
        app = window.app
        (await window.ask("One")).finish()
        await window.until(lambda: "saved" in window.status)
        gc.unfreeze()  # frozen objects would never be collected
        await window.press("ctrl+n")
        await window.has_tabs("1 One", "2 New thread")
        gone: list[weakref.ref[Widget]] = [
            weakref.ref(each) for each in (*app.query(FooterKey), app.query(Tab).last())
        ]
        await window.press("f2")
        await window.until(lambda: len(app.screen_stack) > 1)
        gone += [weakref.ref(each) for each in app.screen.query("*").results(Widget)]
        assert len(gone) > 10
        await window.press("escape", "alt+w")
        await window.has_tabs("1 One")
        for key in ("f1", "escape"):  # rebuilds the footer
            await window.press(key)
        await window.until(lambda: len(app.screen_stack) == 1)
        alive = {id(each) for each in app.query("*")}

        def kept() -> list[Widget]:
            small_looks(12)  # the window collects only after enough small collections
            return [each for ref in gone if (each := ref()) and id(each) not in alive]

        await window.until(lambda: not kept(), "widgets let go")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a heap per thread is glibc's way")
def test_threads_have_one_heap_when_asked_for() -> None:
    def heaps(asked: bool) -> int:
        code = COUNT.format(asked=asked)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return int(done.stdout)

    assert heaps(asked=False) > 1
    assert heaps(asked=True) == 1


def test_memory_tuning_does_nothing_without_support_of_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not limit_malloc_arenas()
    assert not trim_heap()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_free_memory_below_an_allocated_block_is_returned() -> None:
    many = [bytes(600) for _ in range(100_000)]
    kept = bytes(600)  # keeps the end of the heap allocated
    del many
    held = psutil.Process().memory_info().rss
    assert trim_heap()
    assert held - psutil.Process().memory_info().rss > 20e6
    assert kept
