"""Batches: what a batch in the background costs the queries of clients."""
