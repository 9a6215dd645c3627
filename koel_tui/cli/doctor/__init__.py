"""The command `koel-chat doctor`; each kind of check has a module with `look` and `judge`."""
