"""Reference: what the original model answers, and whose word that is."""
