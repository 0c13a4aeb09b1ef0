"""HTTP/1.x: a protocol of our own on llhttp."""
