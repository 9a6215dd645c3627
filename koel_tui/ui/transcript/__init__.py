"""The transcript widgets: messages of a conversation."""
