"""Lanes: work that nobody waits for, beside the requests of clients."""
