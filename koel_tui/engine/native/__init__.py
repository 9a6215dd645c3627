"""The native side: everything that calls llama.cpp, all of it on one thread."""
