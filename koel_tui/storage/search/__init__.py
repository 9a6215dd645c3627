"""Full-text search over saved threads."""
