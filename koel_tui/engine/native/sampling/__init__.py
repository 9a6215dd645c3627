"""Samplers and grammars."""
