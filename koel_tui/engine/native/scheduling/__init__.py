"""What a step decodes, and with how many CPU threads."""
