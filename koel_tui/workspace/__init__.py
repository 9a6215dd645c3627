"""All open conversations without a screen: saved state, start, shutdown, recovery."""
