"""UTF-8 for arguments, streams and file names where the locale offers ASCII only."""

import os
import sys


def require_utf8() -> None:
    """Start the program again in Python's UTF-8 mode where Python uses ASCII.

    Python chooses UTF-8 in the C locale by itself, unless the environment forbids it
    (`PYTHONUTF8=0`). Without it a question, a file name or an answer in another language is lost.
    Locales with another encoding keep it.
    """
    # A second start changes nothing where the first one had the mode and could not use it.
    if sys.getfilesystemencoding() != "ascii" or os.environ.get("PYTHONUTF8") == "1":
        return
    os.environ["PYTHONUTF8"] = "1"  # for the programs that this one starts, too
    os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself
