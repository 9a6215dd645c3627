"""All open conversations, without UI: saved state, startup, shutdown, recovery."""
