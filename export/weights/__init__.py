"""Weights: which files hold them, and what is read of them."""
