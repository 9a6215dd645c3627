"""The messages of a conversation on the screen."""
