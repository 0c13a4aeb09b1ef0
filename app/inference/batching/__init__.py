"""Batching: what waits becomes batches, and runs on threads."""
