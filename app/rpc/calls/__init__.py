"""The calls of each service: a message makes a request, and what was computed makes another."""
