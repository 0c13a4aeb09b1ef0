"""Verbs: one module for each dialect's kind of request, from its fields to its answer."""
