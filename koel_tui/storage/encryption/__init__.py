"""Encrypted thread files: keys, key file, conversion."""
