"""Balancing: how load balancing policies affect latency, by simulation."""
