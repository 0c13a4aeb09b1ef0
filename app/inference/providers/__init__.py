"""Execution providers: what this machine offers, which is tried first, and their sessions."""
