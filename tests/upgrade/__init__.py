"""Directories that older versions wrote, and what must come back from them."""
