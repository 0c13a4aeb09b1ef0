"""The wire: HTTP/1.x spoken by a protocol of our own, HTTP/2 by Hypercorn's; nothing of models."""
