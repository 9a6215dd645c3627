"""The runner process and the transports to the worker."""
