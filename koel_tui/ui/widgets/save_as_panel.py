"""A panel that asks for a file name and writes the file."""

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.widgets import Input

from koel_tui.system.new_file import write_exclusive
from koel_tui.text import repair
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.widgets.input_panel import InputPanel
from koel_tui.ui.widgets.ordered_input import OrderedInput


class SaveAsPanel(InputPanel[Path]):
    """A panel that asks for a file name until the file is written. Returns its path, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [close_binding("save.code")]

    def __init__(self, name: str, text: str, directory: Path | None = None) -> None:
        """`name` is the suggested file name, `text` the content to write.

        `directory` is the target directory, by default the working directory.
        """
        field = OrderedInput(name, placeholder="File name", id="name", compact=True)
        super().__init__("Save as", "saves", field)
        self._text = text
        self._directory = directory or Path()

    @on(Input.Submitted)
    async def _save(self) -> None:
        name = self._field.value.strip()
        if not name:
            self._show_problem("The name is empty. Type the name of a file.")
            return
        try:
            path = self._path(name)
            await asyncio.to_thread(write_exclusive, path, repair(self._text).encode())
        except FileExistsError:
            self._show_problem(f"{name} exists already. Type another name.")
        # ValueError: a NUL byte in the name. RuntimeError: the home of an unknown user.
        except (OSError, ValueError, RuntimeError) as error:
            why = getattr(error, "strerror", None) or error
            self._show_problem(f"{name} cannot be written: {why}. Type another name.")
        else:
            self.dismiss(path)

    def _path(self, name: str) -> Path:
        return (self._directory / Path(name).expanduser()).absolute()
