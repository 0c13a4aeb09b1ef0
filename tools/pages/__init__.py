"""The generated parts of `docs/`: settings, routes, and the index of decisions."""
