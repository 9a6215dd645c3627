"""The native side: all code that calls llama.cpp.

One thread, the owner thread, makes all calls but those of the vocabulary: llama.cpp documents
tokenization as thread-safe, and `preparation` makes prompts on a separate thread.
"""
