"""The panel of models: choosing, downloading, switching."""
