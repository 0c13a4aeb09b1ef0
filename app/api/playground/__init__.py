"""Playground: a page on which a person tries the service with texts of their own."""
