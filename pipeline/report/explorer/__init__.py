"""The explorer: decoders that run in a page, side by side, moved by the same hand."""
