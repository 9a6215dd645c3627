"""Sets the inherited state of the process, so that no test depends on how the suite was started.

Every test gets the same environment, umask, signal dispositions, locale and time zone.
"""

import locale
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

KEPT = frozenset(
    {"PATH", "USER", "LOGNAME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "PYTHONPATH", "SSL_CERT_FILE",
     "SSL_CERT_DIR"}
)  # fmt: skip
"""Variables that tests and the programs they start inherit."""
KEPT_FAMILIES = ("PYTEST_", "UV_", "PIP_", "COV_", "COVERAGE_", "MUTANT_", "DYLD_", "OMP_")
SET = {"LC_ALL": "C.UTF-8", "LANG": "C.UTF-8", "TZ": "UTC", "TERM": "xterm-256color"}
UMASK = 0o022
SIGNALS = tuple(
    number
    for name in ("SIGTERM", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGCHLD", "SIGTSTP", "SIGCONT",
                 "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGALRM")
    if (number := getattr(signal, name, None))
)  # fmt: skip


def pin_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove every variable that is not in `KEPT` or `KEPT_FAMILIES`, and set those in `SET`."""
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(KEPT_FAMILIES):
            monkeypatch.delenv(name)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)


def pin_signals() -> None:
    """Stop ignoring and blocking signals, which a background job or nohup may have set."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in SIGNALS:
        # Python itself ignores SIGPIPE. Installed handlers are kept.
        if number != signal.SIGPIPE and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, *SIGNALS})


@contextmanager
def pinned() -> Iterator[None]:
    """Set this state for one test; restore everything except the signals at its end."""
    pin_signals()
    umask, old_locale = os.umask(UMASK), locale.setlocale(locale.LC_ALL)
    try:
        with pytest.MonkeyPatch.context() as environment:
            pin_environment(environment)
            time.tzset()
            with suppress(locale.Error):  # the locale is not installed
                locale.setlocale(locale.LC_ALL, SET["LC_ALL"])
            yield
    finally:
        os.umask(umask)
        locale.setlocale(locale.LC_ALL, old_locale)
        time.tzset()  # reads the restored TZ
