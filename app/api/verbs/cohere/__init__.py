"""Cohere's dialect: vectors in several types at once, and documents by relevance."""
