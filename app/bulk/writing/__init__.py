"""Writing: vectors in shards, each of which appears whole or not at all."""
