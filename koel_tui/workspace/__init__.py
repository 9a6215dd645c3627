"""All open conversations without a screen: opening, closing, saved state, start, shutdown, recovery."""
