"""The standard streams of the commands: their encodings, their ends, and piped text."""
