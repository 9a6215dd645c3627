"""Speculative decoding: tokens that an answer probably repeats are decoded together."""
