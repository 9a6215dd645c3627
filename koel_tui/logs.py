"""Log lines, which somebody reads on a terminal one day."""

import logging

from koel_tui.text import repair, safe_text

MAX_CHARACTERS = 16 * 1024
"""Of one record, so that no error can push the others out of the log."""


class SafeFormatter(logging.Formatter):
    """Makes lines without control characters: names, errors and model files bring their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text fit for a terminal."""
        text = super().format(record)
        if len(text) > MAX_CHARACTERS:
            text = f"{text[:MAX_CHARACTERS]}… ({len(text):,} characters)"
        return safe_text(repair(text))
