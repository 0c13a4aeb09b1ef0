"""Batches: what a batch in the background costs queries in latency."""
