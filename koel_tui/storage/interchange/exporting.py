"""Export of threads as text for other programs and for people."""

from collections.abc import Callable
from enum import StrEnum
from types import MappingProxyType

from koel_tui.storage.errors import StorageError
from koel_tui.storage.interchange.html import to_html
from koel_tui.storage.interchange.json_format import to_koel, to_native
from koel_tui.storage.interchange.markdown import to_markdown
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.storage.session_storage import SessionStorage


class ExportFormat(StrEnum):
    """The export formats."""

    JSON = "json"
    KOEL = "koel"
    MARKDOWN = "markdown"
    HTML = "html"

    @property
    def suffix(self) -> str:
        """The file name suffix, with the dot."""
        return _WRITERS[self][0]


_WRITERS: MappingProxyType[ExportFormat, tuple[str, Callable[[Thread], str]]] = MappingProxyType(
    {
        ExportFormat.JSON: (".json", to_native),
        ExportFormat.KOEL: (".koel.json", to_koel),
        ExportFormat.MARKDOWN: (".md", to_markdown),
        ExportFormat.HTML: (".html", to_html),
    }
)


def export_thread(thread: Thread, form: ExportFormat) -> str:
    """Return the thread in a format. Raises `StorageError` for a value that JSON cannot hold."""
    return _WRITERS[form][1](thread)


async def load_thread(storage: SessionStorage, thread_id: str) -> Thread:
    """Load a saved thread for export. Raises `StorageError`, also if it is absent."""
    state = await storage.load(thread_id)
    if state is None:
        raise StorageError(f"Thread {thread_id!r} does not exist or cannot be read.")
    return Thread(thread_id, state, await storage.meta(thread_id))
