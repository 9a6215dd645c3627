"""The pinned process state of tests: it does not depend on how the suite was started."""

import locale
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import inherited

ROOT = Path(__file__).parents[1]


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the state of a background job on a desktop with another locale and time zone."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("LC_ALL", "POSIX")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_CACHE_DIR", "/kept")
    time.tzset()
    umask = os.umask(0o077)
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    ignored = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in ignored.items():
        signal.signal(number, handler)
    locale.setlocale(locale.LC_ALL, before)
    os.umask(umask)
    monkeypatch.undo()
    time.tzset()


def the_locale() -> str:
    """Return the pinned locale, or the current one if that is not installed."""
    before = locale.setlocale(locale.LC_ALL)
    with suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, inherited.SET["LC_ALL"])
    found = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, before)
    return found


def umask() -> int:
    """Return the umask, which can be read only by setting it."""
    now = os.umask(0o077)
    os.umask(now)
    return now


def test_a_test_begins_with_a_fixed_process_state_and_restores_the_previous_one(
    outside: None,
) -> None:
    before, expected = dict(os.environ), the_locale()
    with inherited.pinned():
        assert (time.timezone, time.tzname[0], umask()) == (0, "UTC", inherited.UMASK)
        assert {name: os.environ[name] for name in inherited.SET} == inherited.SET
        assert "DBUS_SESSION_BUS_ADDRESS" not in os.environ and "HTTPS_PROXY" not in os.environ
        assert os.environ["UV_CACHE_DIR"] == "/kept"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert locale.setlocale(locale.LC_ALL) == expected
    assert dict(os.environ) == before
    assert (time.timezone, umask()) == (-19_800, 0o077)
    assert locale.setlocale(locale.LC_ALL) == "C"


def test_a_test_that_fails_restores_the_previous_process_state(outside: None) -> None:
    with pytest.raises(RuntimeError), inherited.pinned():
        raise RuntimeError
    assert (os.environ["TZ"], time.timezone, umask()) == ("Asia/Kolkata", -19_800, 0o077)


def test_pinning_keeps_signal_handlers_of_python_and_its_tools() -> None:
    def handle(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with inherited.pinned():
            assert signal.getsignal(signal.SIGUSR1) is handle
            assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_test_begins_with_the_pinned_process_state() -> None:
    assert (time.timezone, umask(), os.environ["LC_ALL"]) == (0, 0o022, "C.UTF-8")
    assert not any("PROXY" in name.upper() or "DBUS" in name for name in os.environ)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_suite_started_as_a_job_in_the_background_begins_with_it() -> None:
    test = f"{__file__}::{test_a_test_begins_with_the_pinned_process_state.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", test],
        env={
            **{name: value for name, value in os.environ.items() if "PYTEST" not in name},
            "TZ": "Asia/Kolkata",
            "HTTPS_PROXY": "http://127.0.0.1:9",
        },
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, cwd=ROOT,
        umask=0o077, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
