"""Weights: which files hold them, and their tensors."""
