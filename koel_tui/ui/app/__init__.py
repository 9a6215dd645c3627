"""The Textual application: main screen, tabs, status line, palette, help, themes."""
