"""The fold, which applies events to a `ChatState`."""
