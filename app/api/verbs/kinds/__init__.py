"""Kinds of vectors in one answer: the field that asks for them, and how they are written."""
