"""Graph: a converted graph is read, extended by a head and assembled for the server."""
