"""Directories that older versions wrote: this version must read them."""
