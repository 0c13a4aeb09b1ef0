"""The wire: HTTP/1.x by a protocol of our own, HTTP/2 by Hypercorn's; knows nothing of models."""
