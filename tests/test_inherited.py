"""The state that every test begins with, whatever the suite was started with."""

import locale
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests import inherited


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set another time zone, umask and locale, and variables of a desktop and a proxy."""
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setenv("LC_ALL", "POSIX")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("UV_CACHE_DIR", "/kept")
    time.tzset()
    umask = os.umask(0o077)
    before = locale.setlocale(locale.LC_ALL)
    locale.setlocale(locale.LC_ALL, "C")
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGHUP, hangup)
    locale.setlocale(locale.LC_ALL, before)
    os.umask(umask)
    monkeypatch.undo()
    time.tzset()


def umask() -> int:
    """Return the umask, which can be read only by setting it."""
    now = os.umask(0o077)
    os.umask(now)
    return now


def test_a_test_begins_with_the_same_state_and_leaves_the_one_before(outside: None) -> None:
    before = dict(os.environ)
    with inherited.pinned():
        assert (time.timezone, time.tzname[0], umask()) == (0, "UTC", inherited.UMASK)
        assert {name: os.environ[name] for name in inherited.SET} == inherited.SET
        assert "DBUS_SESSION_BUS_ADDRESS" not in os.environ and "HTTPS_PROXY" not in os.environ
        assert os.environ["UV_CACHE_DIR"] == "/kept"
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
    assert dict(os.environ) == before
    assert (time.timezone, umask()) == (-19_800, 0o077)
    assert locale.setlocale(locale.LC_ALL) == "C"


def test_a_test_that_fails_leaves_the_state_before(outside: None) -> None:
    with pytest.raises(RuntimeError), inherited.pinned():
        raise RuntimeError
    assert (os.environ["TZ"], time.timezone, umask()) == ("Asia/Kolkata", -19_800, 0o077)


def test_this_test_begins_with_it() -> None:
    assert (time.timezone, umask(), os.environ["LC_ALL"]) == (0, 0o022, "C.UTF-8")
    assert not any("PROXY" in name.upper() or "DBUS" in name for name in os.environ)
