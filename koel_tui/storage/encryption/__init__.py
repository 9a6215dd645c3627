"""Encryption of thread files: keys, key file, codec, conversion."""
