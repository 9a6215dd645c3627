"""The handlers of the plain mode's commands on the settings of the active thread."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.workspace import Workspace

_SYSTEM_PROMPT = "system"
"""The setting of the system prompt; it is not a field of the settings form."""
_ALIASES: Mapping[str, str] = MappingProxyType({"role": _SYSTEM_PROMPT})
"""Names of settings in earlier versions, which remain valid."""


class SettingCommandHandlers:
    """The handlers that list and change a thread's settings; `say` prints a line."""

    def __init__(self, workspace: Workspace, runtime: Runtime, say: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._runtime = runtime
        self._say = say

    @property
    def by_name(self) -> Mapping[str, Callable[[str], Awaitable[None]]]:
        """The command handlers, keyed by command name."""
        return {"settings": self._list, "set": self._set, "unset": self._unset}

    async def _list(self, _: str) -> None:
        from koel_tui.conversation.thread_settings_form import FIELDS, FOLDED_GROUPS, OTHER_FIELDS

        texts, defaults = self._texts(), self._defaults()
        headings = {group.fields[0].key: group.heading for group in FOLDED_GROUPS}
        headings[OTHER_FIELDS[0].key] = "Other settings"
        for name in (_SYSTEM_PROMPT, *(field.key for field in FIELDS)):
            if name in headings:
                self._say(f"{headings[name]}:")
            self._say(f"{name}: {_describe(texts[name], defaults.get(name))}")
        self._say("/set NAME VALUE changes a setting, /unset NAME resets it.")

    async def _set(self, argument: str) -> None:
        name, _, value = argument.partition(" ")
        if name:
            await self._change(name.lower(), value.strip())
        else:
            await self._list("")

    async def _unset(self, name: str) -> None:
        if name:
            await self._change(name.lower(), "")
        else:
            self._say("Type the name of the setting: /unset NAME. /settings lists them.")

    async def _change(self, name: str, value: str) -> None:
        """Change a setting of the active thread; an empty value restores the default."""
        from koel_tui.conversation.thread_setting_paths import resolve_paths
        from koel_tui.conversation.thread_settings_form import FieldError, parse_settings

        texts, name = self._texts(), _ALIASES.get(name, name)
        if name not in texts:
            self._say(f"There is no setting {safe_line(name, 40)!r}. /settings lists them.")
            return
        texts[name] = value
        try:
            settings = parse_settings(texts, texts[_SYSTEM_PROMPT])
            settings = await asyncio.to_thread(resolve_paths, settings)
        except FieldError as error:
            self._say(f"Error: {safe_line(str(error), 400)}")
            return
        await self._workspace.active.configure(" ".join(texts["title"].split()), settings)
        self._say(
            f"From the next answer on, {name} is "
            f"{_describe(self._texts()[name], self._defaults().get(name))}"
        )

    def _texts(self) -> dict[str, str]:
        """Return the settings of the active thread as text, keyed by name."""
        from koel_tui.conversation.thread_settings_form import format_settings
        from koel_tui.session import ThreadSettings

        about = self._workspace.active.meta
        settings = about.settings or ThreadSettings()
        return {_SYSTEM_PROMPT: settings.system or "", **format_settings(about.title, settings)}

    def _defaults(self) -> Mapping[str, str]:
        """Return the default values of thread settings; empty until the backend is connected."""
        from koel_tui.conversation.thread_settings_form import format_defaults

        backend = self._runtime.backend
        if backend is None:
            return {}
        defaults = format_defaults(backend.defaults)
        return {**defaults, _SYSTEM_PROMPT: defaults[_SYSTEM_PROMPT] or "none"}


def _describe(text: str, default: str | None) -> str:
    """Return the value of a setting as one line; an empty text means the default."""
    if text:
        return safe_line(text)
    return "the default" if default is None else f"{safe_line(default)} (default)"
