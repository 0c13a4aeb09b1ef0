"""HTTP/2: Hypercorn's protocol, mended."""
