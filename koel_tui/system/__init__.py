"""Operating-system helpers: files, processes, signals, clipboard, editor. Imports no other project package."""
