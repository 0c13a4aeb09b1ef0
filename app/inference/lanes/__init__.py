"""Lanes: work that no client waits for, beside requests."""
