"""AG-UI events: types, chunk expansion, order check."""
