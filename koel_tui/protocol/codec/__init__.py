"""States as JSON."""
