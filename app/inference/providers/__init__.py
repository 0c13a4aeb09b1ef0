"""Execution providers: what this machine offers, what is tried first, and their sessions."""
