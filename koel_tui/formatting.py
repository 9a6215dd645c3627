"""Text formatting in terminal cells: a Chinese character or an emoji takes two cells."""

from rich.cells import cell_len, set_cell_size

from koel_tui.text import cut_letters

_TRAILING = " ,;:-\uff0c\u3001\uff1b\uff1a\u060c"
"""Punctuation that is removed before an ellipsis, also of Chinese, Japanese and Arabic."""


def truncate(text: str, width: int) -> str:
    """Return `text`, truncated to at most `width` cells with an ellipsis if it was cut."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    head = set_cell_size(text, width - 1)
    # Rich puts a space in the place of a half of a wide character.
    kept = len(head) if text.startswith(head) else len(head) - 1
    return cut_letters(text, kept).rstrip() + "…"


def cut_at_word(text: str, width: int) -> str:
    """Return `text`, cut at a word to at most `width` cells; text without spaces is truncated."""
    shortened = truncate(text, width)
    if shortened == text:
        return text
    head = shortened[:-1]
    if text[len(head) : len(head) + 1] != " ":
        words = head.rpartition(" ")[0]
        head = words if cell_len(words) * 2 >= width else head
    return f"{head.rstrip(_TRAILING)}…"


def format_tokens(number: int) -> str:
    """Return a short form of a token count: 940, 1.2k, 131k."""
    if number < 1000:
        return str(number)
    thousands = number / 1000
    return f"{thousands:.1f}k" if thousands < 99.95 else f"{thousands:.0f}k"


def progress_bar(fraction: float, cells: int = 4) -> str:
    """Return a progress bar of `cells` cells; a fraction above 0 fills at least one."""
    filled = min(cells, max(int(fraction > 0), round(fraction * cells)))
    return "▓" * filled + "░" * (cells - filled)


def format_bytes(size_bytes: int) -> str:
    """Return a short form of a byte count: 940 B, 12 kB, 3.4 MB, 1.2 GB."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB"):
        if amount < 999.5:
            decimals = 1 if unit == "MB" and amount < 9.95 else 0
            return f"{amount:.{decimals}f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
