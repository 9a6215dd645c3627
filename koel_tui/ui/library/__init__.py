"""The panel of saved threads: search, preview, rename, delete, export."""
