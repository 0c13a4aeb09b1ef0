"""Proof: whether a graph gives the original's stored answers. Shared with the export."""
