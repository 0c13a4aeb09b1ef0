"""Shapes: the fields that a body may have, and the forms of their values."""
