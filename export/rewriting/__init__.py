"""Graphs rewritten in place: patterns of nodes that are found, and what stands for them."""
