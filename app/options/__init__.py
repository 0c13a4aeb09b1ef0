"""Options of the service: read from flags and the environment, and checked."""
