"""The settings of one thread: opening their panel, the panel itself, applying the result."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.actions import SkipAction
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget
from textual.widgets import Input, Static, TextArea

from koel_tui import paths
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.system_prompts import SystemPrompt, SystemPrompts
from koel_tui.conversation.thread_setting_paths import resolve_paths
from koel_tui.conversation.thread_settings_form import (
    COMMON_FIELDS,
    FOLDED_GROUPS,
    OTHER_FIELDS,
    TITLE,
    Field,
    FieldError,
    find_field,
    format_defaults,
    format_settings,
    parse_settings,
    validate,
)
from koel_tui.limits import MAX_FIELD_CHARACTERS
from koel_tui.protocol import TurnSettings
from koel_tui.session.settings import ThreadSettings
from koel_tui.text import safe_input, safe_line
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.settings.fold_line import FoldLine
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.ordered_input import OrderedInput
from koel_tui.ui.widgets.panel import Panel
from koel_tui.ui.widgets.picker import Picker, PickerTexts
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel

_FRAME = 2
"""Rows of the panel's border."""
_WIDE = 76
"""Width in columns from which on a help text is shown behind each field."""
_KEYS = "enter applies · ctrl+o loads a prompt · ctrl+s saves it · esc closes"
_SHORT_KEYS = "enter applies · ctrl+o load, ctrl+s save · esc closes"
_PLACEHOLDER = "Instructions for the model; empty: {default}"
_PROMPT_HINT = (
    "System prompt: instructions for the model. ctrl+o loads a saved one, ctrl+s saves this one."
)
_FOLDED_KEYS = tuple(field.key for group in FOLDED_GROUPS for field in group.fields)


@dataclass(frozen=True, slots=True)
class FormResult:
    """The result of the form: the settings and the title; an empty title means the first words."""

    title: str
    settings: ThreadSettings


class SystemPromptPicker(Picker[SimpleChoice[str]]):
    """Picker of a saved system prompt."""

    TEXTS = PickerTexts(
        "System prompts", "Type to find one", "No system prompt is saved yet", "loads it"
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+o", "dismiss", show=False)]


def prompt_choice(prompt: SystemPrompt) -> SimpleChoice[str]:
    """Return the list entry of a system prompt: its name and its first words."""
    return SimpleChoice(prompt.text, prompt.name, safe_line(prompt.text, 40), prompt.text)


class ThreadPanel(Panel[FormResult]):
    """Edits the settings of a thread. Returns the new ones, or None to keep the current ones."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Leave"),
        close_binding("thread.settings"),
        Binding("ctrl+o", "choose_prompt", show=False, priority=True),
        Binding("ctrl+s", "save_prompt", show=False, priority=True),
        Binding("up", "go(-1)", show=False, priority=True),
        Binding("down", "go(1)", show=False, priority=True),
        # Priority, so that text typed right after the key goes to the next field.
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(
        self,
        title: str,
        settings: ThreadSettings,
        defaults: Mapping[str, str],
        prompts: SystemPrompts,
    ) -> None:
        """`defaults` maps field keys to the values that apply if the fields are empty."""
        super().__init__()
        self._texts = format_settings(title, settings)
        self._defaults = defaults
        self._prompts = prompts
        self._shown = {
            key: safe_line(text, MAX_FIELD_CHARACTERS) for key, text in self._texts.items()
        }
        self._system = settings.system or ""
        self._prompt = TextArea(safe_input(self._system), id="system", compact=True)
        default = defaults.get("system") or "none"
        self._prompt.placeholder = Content(safe_line(_PLACEHOLDER.format(default=default)))
        self._folded = Vertical(id="folded")
        self._fold = FoldLine("All samplers", len(_FOLDED_KEYS), self._folded)
        self._hint = Static(id="hint")
        self._file_error = FieldError("", "")  # error of files named in the form
        self._file_error_text = ""
        self._initial_values = (
            self._form_values
        )  # may be discarded unasked: initially the old values

    def compose(self) -> ComposeResult:
        """Yield the form, and the hint line of the focused field."""
        with Vertical(id="panel"):
            with VerticalScroll(id="form", can_focus=False):
                yield Static("System prompt", id="system-label")
                yield self._prompt
                yield from self._rows((TITLE, *COMMON_FIELDS))
                yield self._fold
                with self._folded:
                    for group in FOLDED_GROUPS:
                        yield Static(group.heading, classes="heading")
                        yield from self._rows(group.fields)
                yield from self._rows(OTHER_FIELDS)
            yield self._hint

    def on_mount(self) -> None:
        """Set the title, and unfold the fields if one of them is set."""
        self.query_one("#panel").border_title = "This thread"
        self._fold.fold(not any(self._texts[key] for key in _FOLDED_KEYS))
        # Set the focus now, because `AUTO_FOCUS` would first show the hint of the system prompt.
        self.set_focus(self.query_one("#field-title", Input))
        self._fit_to_size(self.app.size)

    def on_resize(self, event: events.Resize) -> None:
        """Adapt the layout to the new size."""
        self._fit_to_size(event.size)

    def _fit_to_size(self, size: Size) -> None:
        """Reserve rows for the hints below the form, and show more in a wide panel."""
        wide = size.width >= _WIDE
        self.set_class(not wide, "-narrow")
        self.query_one("#panel").border_subtitle = _KEYS if wide else _SHORT_KEYS
        lines = 2 if wide else 3
        self._hint.styles.min_height = lines
        self.query_one("#form").styles.max_height = max(3, size.height - _FRAME - lines)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Show the hint of the focused field."""
        self._explain()

    @on(Input.Changed)
    def _validate(self) -> None:
        self._explain()

    @on(FoldLine.Toggled)
    def _count_folded(self) -> None:
        _, texts = self._form_values
        self._fold.count_set(sum(1 for key in _FOLDED_KEYS if texts[key].strip()))
        self._explain()

    @on(Input.Submitted)
    async def _apply(self) -> None:
        system, texts = self._form_values
        try:
            settings = parse_settings(texts, system)
            settings = await asyncio.to_thread(resolve_paths, settings)
        except FieldError as error:
            self._file_error, self._file_error_text = error, texts[error.key]
            self._go_to(error.key)
        else:
            self.dismiss(FormResult(" ".join(texts["title"].split()), settings))

    async def action_dismiss(self, result: FormResult | None = None) -> None:
        """Dismiss; unapplied changes are only discarded at the second attempt."""
        if self._form_values == self._initial_values:
            await super().action_dismiss(result)
        else:
            self._initial_values = self._form_values
            keys = "enter" if isinstance(self.focused, Input) else "tab, then enter,"
            self._show_problem(
                f"The changes are not applied. {keys} applies them; esc again discards them."
            )

    def action_go(self, step: int) -> None:
        """Move the focus to the next or previous field; the form would only scroll."""
        if self.focused is self._prompt:
            raise SkipAction  # it has several lines
        self.focus_next() if step > 0 else self.focus_previous()

    async def action_choose_prompt(self) -> None:
        """Choose one of the user's saved system prompts."""
        prompts = await asyncio.to_thread(self._prompts.all)
        await self.app.push_screen(
            SystemPromptPicker([prompt_choice(prompt) for prompt in prompts]),
            self._use_system_prompt,
        )

    async def action_save_prompt(self) -> None:
        """Save the system prompt to a file, for other threads."""
        text = self._prompt.text.strip()
        if not text:
            self._show_problem("There is no system prompt to save.")
            return
        try:
            await asyncio.to_thread(self._prompts.directory.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            self._show_problem(
                f"{self._prompts.directory} cannot be used: {error.strerror or error}. "
                "Check its permissions."
            )
            return
        self.app.push_screen(
            SaveAsPanel("prompt.md", text, self._prompts.directory), self._report_saved
        )

    @property
    def _form_values(self) -> tuple[str, Mapping[str, str]]:
        """The system prompt, and field texts by key; unchanged ones keep their original form."""
        texts = {_key(field): field.value for field in self.query(Input)}
        changed = {key: text for key, text in texts.items() if text != self._shown[key]}
        system = safe_input(self._prompt.text)
        same = system == safe_input(self._system)
        return self._system if same else system, {**self._texts, **changed}

    def _use_system_prompt(self, choice: SimpleChoice[str] | None) -> None:
        if choice is not None:
            self._prompt.text = safe_input(choice.value)

    def _report_saved(self, path: Path | None) -> None:
        if path is not None:
            self._show_problem(f"The system prompt is saved in {path}")

    def _go_to(self, key: str) -> None:
        """Focus a field, unfolding it if necessary."""
        if key in _FOLDED_KEYS:
            self._fold.fold(False)
        self.query_one(f"#field-{key}", Input).focus()
        self._explain()

    def _rows(self, fields: Iterable[Field]) -> Iterable[Horizontal]:
        for field in fields:
            parts: list[Widget] = [
                Static(field.label, classes="label"),
                OrderedInput(
                    self._shown[field.key],
                    placeholder=safe_line(self._defaults.get(field.key, "")),
                    id=f"field-{field.key}",
                    classes="-wide" if field.wide else "",
                    compact=True,
                    select_on_focus=False,
                ),
            ]
            if not field.wide:
                parts.append(Static(Content(field.help), classes="help"))
            yield Horizontal(*parts, classes="line")

    def _explain(self) -> None:
        """Show the error of the focused field, else its hint."""
        focused = self.focused
        if isinstance(focused, Input):
            problem = self._field_problem(focused)
            default = self._defaults.get(_key(focused), "")
            if problem:
                self._show_problem(problem)
            else:
                self._show_hint(find_field(_key(focused)).hint(default))
        elif focused is self._fold:
            self._show_hint(self._fold.hint)
        elif focused is self._prompt:
            self._show_hint(_PROMPT_HINT)

    def _field_problem(self, field: Input) -> str:
        key = _key(field)
        try:
            validate(key, field.value)
        except FieldError as error:
            return str(error)
        file_error = (
            self._file_error.key == key and self._file_error_text == self._form_values[1][key]
        )
        return str(self._file_error) if file_error else ""

    def _show_hint(self, hint: str) -> None:
        self._hint.update(Content.styled(safe_line(hint, 400), "$foreground 60%"))

    def _show_problem(self, problem: str) -> None:
        self._hint.update(Content.styled(safe_line(problem, 400), "$text-error"))


def edit_thread_settings(app: App[int], conversation: Conversation, defaults: TurnSettings) -> None:
    """Show the settings panel for a conversation's thread and apply the result."""

    title_before = conversation.meta.title

    async def on_result(result: FormResult | None) -> None:
        if result is not None:
            # Keep a title generated meanwhile, unless the user typed another one.
            same = result.title == title_before
            await conversation.configure(
                conversation.meta.title if same else result.title, result.settings
            )

    settings = conversation.meta.settings or ThreadSettings()
    panel = ThreadPanel(
        title_before, settings, format_defaults(defaults), SystemPrompts(paths.system_prompts_dir())
    )
    app.push_screen(panel, on_result)


async def set_template(conversation: Conversation, name: str) -> None:
    """Set the chat template of a thread to a built-in template or raw completion."""
    about = conversation.meta
    settings = replace(about.settings or ThreadSettings(), chat_template=name)
    await conversation.configure(about.title, settings)


def _key(field: Input) -> str:
    return (field.id or "").removeprefix("field-")
