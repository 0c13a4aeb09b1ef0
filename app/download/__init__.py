"""Download: a model that is not exported yet comes from a cache or the Hub, and is prepared."""
