"""The panels of the program's and a thread's settings."""
