"""Thread files: reading, writing, locks, trash, quarantine, recovery files."""
