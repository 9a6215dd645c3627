"""The prompt: editing, files and attachments."""
