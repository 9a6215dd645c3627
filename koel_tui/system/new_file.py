"""Files with what a model wrote: a name that fits, and no other file in danger."""

import os
from pathlib import Path

from koel_tui.text import repair
from koel_tui.ui.conversation.code_blocks import Code


def name_for(code: Code, title: str, number: int) -> str:
    """Return a harmless name for a code block, made of the title of its thread."""
    from koel_tui.storage.interchange import file_name

    return file_name(title, f"-{number}.{code.extension}")


def write_new(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file that is not there yet, all of it or nothing; `private`, for its owner alone.

    Raises OSError, of which `FileExistsError` says that there is something of this name.
    """
    from koel_tui.system.atomic_write import write_atomically

    with path.open("xb") as placeholder:  # whatever comes now, the name is ours
        mode = os.fstat(placeholder.fileno()).st_mode & 0o777
    try:
        write_atomically(path, repair(text).encode())
        if not private:
            path.chmod(mode)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
