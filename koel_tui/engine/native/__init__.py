"""The native side: all code that calls llama.cpp, on one thread."""
