"""The library of saved threads."""
