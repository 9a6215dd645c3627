"""One heap for all threads, and nothing kept that is free, where the C library can be asked."""

import platform
import subprocess
import sys
import textwrap

import psutil
import pytest

from koel_tui.system.heap import limit_malloc_arenas, trim_heap

COUNT = textwrap.dedent("""
    import ctypes, threading, tempfile
    from koel_tui.system.heap import limit_malloc_arenas
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a heap per thread is glibc's way")
def test_threads_have_one_heap_when_asked_for() -> None:
    def heaps(asked: bool) -> int:
        code = COUNT.format(asked=asked)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return int(done.stdout)

    assert heaps(asked=False) > 1
    assert heaps(asked=True) == 1


def test_where_it_cannot_be_asked_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not limit_malloc_arenas()
    assert not trim_heap()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_is_free_below_something_kept_is_given_back() -> None:
    many = [bytes(600) for _ in range(100_000)]
    kept = bytes(600)  # the end of the heap stays where it is
    del many
    held = psutil.Process().memory_info().rss
    assert trim_heap()
    assert held - psutil.Process().memory_info().rss > 20e6
    assert kept
