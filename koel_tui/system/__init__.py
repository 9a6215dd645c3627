"""Operating-system helpers: files, processes, signals, clipboard, editor."""
