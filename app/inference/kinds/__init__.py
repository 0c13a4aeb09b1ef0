"""Kinds of vectors: which a model answers with, and what is made of the rows of each."""
