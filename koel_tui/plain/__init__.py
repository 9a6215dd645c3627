"""The chat as lines of text, for screen readers and terminals that cannot do more."""
