"""TEI's gRPC API: the same requests as over HTTP, to the same models."""
