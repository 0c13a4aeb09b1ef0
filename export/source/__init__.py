"""Source: where a model comes from, on this machine or the Hub."""
