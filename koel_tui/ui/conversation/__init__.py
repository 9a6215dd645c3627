"""The view of one conversation: transcript, prompt and its actions."""
