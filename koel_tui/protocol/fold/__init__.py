"""The fold: how each event changes a `ChatState`."""
