"""Key table, key bindings and the user's keymap."""
