"""The panel of the program settings: a list, and a field to change one of them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import ClassVar

from textual import on
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from koel_tui.text import safe_line
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.settings.setting import FLAG, Setting, format_value
from koel_tui.ui.settings.settings_store import InvalidValueError, SettingsStore
from koel_tui.ui.widgets.input_panel import InputPanel
from koel_tui.ui.widgets.ordered_input import OrderedInput
from koel_tui.ui.widgets.picker import Picker, PickerTexts

ChangeValue = Callable[[str], Awaitable[str]]


class SettingsPanel(Picker[Setting]):
    """Lists and explains the program settings; enter changes one."""

    TEXTS = PickerTexts(
        "Settings of the program",
        "Type to find a setting",
        "Reading…",
        "changes it",
        "No setting has these words",
    )
    FRAME = 7
    BINDINGS: ClassVar[list[BindingType]] = [close_binding("settings")]

    def __init__(self, settings: SettingsStore) -> None:
        super().__init__([])
        self._settings = settings
        self._help = Static(id="help")
        self._result = Static(id="result")
        self._result_name = ""

    def parts(self) -> Iterable[Widget]:
        """Return the search field, the list, the help text, and the result of the last change."""
        return self._find, self._list, self._help, self._result

    def on_mount(self) -> None:
        """Load the settings."""
        self.run_worker(self._read())

    def submit(self, choice: Setting | None) -> None:
        """Open the field for a setting, unless it is locked."""
        if choice is None:
            return
        if choice.locked:
            self._show_result(choice, f"{choice.name} cannot be changed here.", "$text-error")
            return

        async def changed(message: str | None) -> None:
            if message is not None:
                await self._read()
                self._go_to(choice.name)
                self._show_result(choice, message, "$text-success")

        self.app.push_screen(
            ValuePanel(choice, lambda text: self._settings.change(choice, text)), changed
        )

    @on(OptionList.OptionHighlighted)
    def _explain(self) -> None:
        choice = self.highlighted
        text = f"{choice.description}\n{choice.locked or choice.help}" if choice else ""
        self._help.update(Content("\n".join(map(safe_line, text.split("\n")))))
        if choice is None or choice.name != self._result_name:
            self._result.update("")

    async def _read(self) -> None:
        from koel_tui.settings import SettingsError

        try:
            self.set_choices(await self._settings.all())
        except SettingsError as error:
            self.notify(str(error), severity="error")
            self.dismiss()

    def _go_to(self, name: str) -> None:
        names = [setting.name for setting in self._shown]
        if name in names:
            self._list.highlighted = names.index(name)

    def _show_result(self, setting: Setting, message: str, style: str) -> None:
        """Show the result for a setting while the cursor is on it."""
        self._result_name = setting.name
        self._result.update(Content.styled(safe_line(message, 400), style))


class ValuePanel(InputPanel[str]):
    """Asks for a valid value of a setting. Returns when the value takes effect, or None."""

    def __init__(self, setting: Setting, change: ChangeValue) -> None:
        """`change` receives the text and raises `InvalidValueError` if it is not valid."""
        self._before = format_value(setting.value)
        field = OrderedInput(self._before, id="value", compact=True)
        super().__init__(setting.name, "saves in config.toml", field)
        self._setting = setting
        self._change = change

    def parts(self) -> Iterable[Widget]:
        """Return the description, the field, the allowed values and the error."""
        description = Static(Content(safe_line(self._setting.description)))
        help_ = Static(Content(safe_line(self._setting.help)), id="help")
        return description, self._field, help_, self._problem

    @on(Input.Changed)
    def _validate(self) -> None:
        try:
            self._setting.parse(self._field.value)
        except ValueError as error:
            self._show_problem(str(error))
        else:
            self._show_problem("")

    @on(Input.Submitted)
    async def _save(self) -> None:
        if not self.is_active:
            return
        if self._field.value == self._before and self._setting.origin != FLAG:
            self.dismiss()
            return
        try:
            message = await self._change(self._field.value)
        except InvalidValueError as error:
            self._show_problem(str(error))
        else:
            self.dismiss(message)
