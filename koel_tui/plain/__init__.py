"""The plain mode: a line-based chat for screen readers and limited terminals."""
