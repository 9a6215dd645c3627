"""The prompt: text editing, files and attachments."""
