"""Creating files without overwriting existing ones."""

import os
from contextlib import suppress
from pathlib import Path

from koel_tui.system.atomic_write import write_atomically


def write_exclusive(path: Path, data: bytes, *, private: bool = False) -> None:
    """Create a file with all of `data`, or not at all.

    A `private` file is readable by its owner only. Raises OSError; `FileExistsError` if the file
    exists.
    """
    with path.open("xb") as placeholder:  # reserves the name
        mode = os.fstat(placeholder.fileno()).st_mode & 0o777
    try:
        write_atomically(path, data)
        if not private:
            with suppress(OSError):  # some file systems have no modes
                path.chmod(mode)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
