"""Balancing: what ways to spread requests over replicas do to their latency, by simulation."""
