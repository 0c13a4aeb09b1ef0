"""TEI's gRPC API: the same requests as over HTTP, to the same models."""

import os

# The library, which reads this when it is imported, else writes of what clients do wrong.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
