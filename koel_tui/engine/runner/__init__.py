"""The runner process, its wire messages and the transport to it."""
