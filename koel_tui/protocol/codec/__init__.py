"""The JSON encoding of states."""
