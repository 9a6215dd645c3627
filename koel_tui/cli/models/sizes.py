"""Formatting of file sizes."""


def format_size(size_bytes: int) -> str:
    """Return a size in MB, or in GB from 1000 MB."""
    if size_bytes < 999_500_000:
        return f"{size_bytes / 1e6:.0f} MB"
    return f"{size_bytes / 1e9:.1f} GB"
