"""The limits of llama.cpp that settings, options and the engine check."""

MAX_THREADS = 512
"""Most CPU threads; with more it aborts the process."""
MAX_SEQUENCES = 256
"""Most sequences in a context: engine slots, and open sessions."""
