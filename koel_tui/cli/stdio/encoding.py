"""UTF-8 for arguments, streams and file names in an ASCII-only locale."""

import os
import sys


def require_utf8() -> None:
    """Restart the program in Python's UTF-8 mode if Python uses ASCII.

    Python selects UTF-8 in the C locale, unless the environment disables that (`PYTHONUTF8=0`).
    With ASCII, questions, file names and answers in other languages are lost. Locales with another
    encoding keep it.
    """
    # If UTF-8 mode is already requested, a restart would change nothing.
    if sys.getfilesystemencoding() != "ascii" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"  # also for child processes
    os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - this program again
