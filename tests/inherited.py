"""Sets what a process inherits, so that no test depends on who started the suite, and how.

The environment, umask, signal dispositions and time zone are the same for all of them.
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
"""Variables that tests and the programs they start get from outside."""
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
    """Remove every variable that is not listed above, and set the others."""
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(KEPT_FAMILIES):
            monkeypatch.delenv(name)
    for name, value in SET.items():
        monkeypatch.setenv(name, value)


def pin_signals() -> None:
    """Let no signal be ignored or blocked: a job in the background, or nohup, begins so."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in SIGNALS:
        # Python itself ignores SIGPIPE; a handler that something has installed is kept.
        if number != signal.SIGPIPE and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, *SIGNALS})


@contextmanager
def pinned() -> Iterator[None]:
    """Set all of it for one test; all but the signals is as before at its end."""
    pin_signals()
    umask, old_locale = os.umask(UMASK), locale.setlocale(locale.LC_ALL)
    try:
        with pytest.MonkeyPatch.context() as environment:
            pin_environment(environment)
            time.tzset()
            with suppress(locale.Error):  # a system without it: the locale stays what it was
                locale.setlocale(locale.LC_ALL, SET["LC_ALL"])
            yield
    finally:
        os.umask(umask)
        locale.setlocale(locale.LC_ALL, old_locale)
        time.tzset()  # reads TZ, which is as before only now
