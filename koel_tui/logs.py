"""Log lines, which somebody reads on a terminal one day."""

import logging

from koel_tui.text import repair, safe_text


class SafeFormatter(logging.Formatter):
    """Makes lines without control characters: names, errors and model files bring their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text fit for a terminal."""
        return safe_text(repair(super().format(record)))
