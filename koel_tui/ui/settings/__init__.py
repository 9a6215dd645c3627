"""The panels for the settings of a thread and of the program."""
