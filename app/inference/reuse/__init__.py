"""Reuse: no row is computed twice, neither at a time nor, as far as memory goes, later."""
