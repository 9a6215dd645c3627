"""The requirements of the window on the terminal; without them the plain mode starts."""

MIN_COLUMNS = 60
MIN_ROWS = 15
"""`MIN_COLUMNS` by `MIN_ROWS` is the smallest terminal for the app."""
_NEEDED = "─…"
"""Characters that the window draws and an encoding for one language does not have."""


def why_window_impossible(
    columns: int,
    rows: int,
    terminal: str | None,
    *,
    stderr_is_terminal: bool = True,
    encoding: str = "utf-8",
) -> str:
    """Return the reason why the app cannot run in a terminal, or ''.

    A size of 0 is unknown. The app draws on stderr, in `encoding`.
    """
    if not stderr_is_terminal:
        return "The window is drawn on stderr, which is not a terminal"
    if terminal == "dumb":
        return "This terminal cannot move its cursor (TERM=dumb)"
    if not _has_characters(encoding):
        return f"The encoding {encoding} lacks the characters of the window"
    if 0 < columns < MIN_COLUMNS or 0 < rows < MIN_ROWS:
        return (
            f"This terminal is {columns} columns by {rows} rows; "
            f"the window needs {MIN_COLUMNS} by {MIN_ROWS}"
        )
    return ""


def _has_characters(encoding: str) -> bool:
    try:
        _NEEDED.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
