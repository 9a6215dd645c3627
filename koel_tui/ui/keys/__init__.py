"""The key table, key bindings and the user's keymap."""
