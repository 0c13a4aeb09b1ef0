"""Lookup: which folder a name means, among exported models and in a cache of the Hub."""
