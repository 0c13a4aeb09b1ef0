"""Batching: waiting inputs become batches, which run on threads."""
