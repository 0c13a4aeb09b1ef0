"""Several models in one process: what they share, and how a request finds its own."""
