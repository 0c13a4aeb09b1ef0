"""Graph: a converted graph, read, extended by a head and assembled for the server."""
