"""The model panel and downloads."""
