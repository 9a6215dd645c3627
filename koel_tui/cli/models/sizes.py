"""Formatting of file sizes."""


def size_shown(size_bytes: int) -> str:
    """Return a size in MB, from 1000 MB in GB."""
    if size_bytes < 999_500_000:
        return f"{size_bytes / 1e6:.0f} MB"
    return f"{size_bytes / 1e9:.1f} GB"
