"""Forms: how the requests of a path are written, and its answers."""
