"""Thread files: reading, writing, locks, trash, quarantine, conflicts."""
