"""Text formatting in terminal cells: a Chinese character or an emoji takes two cells."""

from rich.cells import cell_len, set_cell_size


def truncate(text: str, width: int) -> str:
    """Return `text`, truncated to at most `width` cells with an ellipsis if it was cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


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
